"""The prefix tree finds texts by their tokens, and evicts what was used least recently."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.engine.pages import PagePool
from jackfield.engine.prefix import SESSION_GRACE_S, Node, PrefixTree, common_length
from jackfield.engine.states import StateSlots

I32 = npt.NDArray[np.int32]
SIZE = 4


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Shelf:
    """A tree with its pool, and texts put into it as a sequence would."""

    def __init__(self, num_pages: int = 16, num_slots: int = 0) -> None:
        self.clock = Clock()
        self.pool = PagePool(num_pages, SIZE)
        self.states = StateSlots(num_slots) if num_slots else None
        self.tree = PrefixTree(self.pool, self.states, self.clock)

    def put(self, *tokens: int, salt: str = "", for_session: bool = False) -> list[Node]:
        path: list[Node] = []
        text = ints(tokens)
        for start in range(0, text.size, SIZE):
            page = self.pool.take()
            assert page is not None
            parent = path[-1] if path else None
            path.append(self.tree.insert(salt, parent, text[start : start + SIZE], page))
            self.pool.release(page)
        self.clock.now_s += 1
        for last in range(1, len(path) + 1):
            self.tree.touch(path[:last], for_session=for_session)
        return path

    def length(self, *tokens: int, salt: str = "") -> int:
        match, _ = self.tree.match(salt, ints(tokens), len(tokens))
        return len(match.nodes) * SIZE + match.num_partial


def ints(tokens: Iterable[int]) -> I32:
    return np.array(list(tokens), np.int32)


def test_a_text_is_found_up_to_its_first_differing_token() -> None:
    shelf = Shelf()
    shelf.put(*range(1, 11))
    assert shelf.length(*range(1, 11)) == 10
    assert shelf.length(*range(1, 8), 99) == 7
    assert shelf.length(99, *range(2, 11)) == 0
    assert shelf.length(*range(1, 11), 99) == 10


def test_the_limit_is_kept() -> None:
    shelf = Shelf()
    shelf.put(*range(8))
    match, _ = shelf.tree.match("", ints(range(8)), 7)
    assert (len(match.nodes), match.num_partial) == (1, 3)


def test_the_best_of_several_partial_pages_is_chosen() -> None:
    shelf = Shelf()
    shelf.put(1, 2, 7, 8)
    shelf.put(1, 2, 3, 9)
    shelf.put(1, 5, 5, 5)
    match, _ = shelf.tree.match("", ints([1, 2, 3, 4]), 4)
    assert match.partial is not None
    assert np.frombuffer(match.partial.key, np.int32).tolist() == [1, 2, 3, 9]
    assert match.num_partial == 3


def test_salts_do_not_share() -> None:
    shelf = Shelf()
    shelf.put(*range(8), salt="a")
    assert shelf.length(*range(8), salt="b") == 0
    assert shelf.length(*range(8), salt="a") == 8


def test_equal_hashes_are_not_taken_for_equal_texts() -> None:
    shelf = Shelf()
    [node] = shelf.put(1, 2, 3, 4)
    other = ints([5, 6, 7, 8]).tobytes()

    class Colliding(bytes):
        def __hash__(self) -> int:
            return hash(other)

    parent = node.parent
    assert parent is not None
    parent.children = {Colliding(node.key): node}
    assert hash(next(iter(parent.children))) == hash(other)
    assert shelf.length(5, 6, 7, 8) == 0


def test_a_longer_page_replaces_the_shorter_one_it_begins_with() -> None:
    shelf = Shelf()
    shelf.put(1, 2)
    shelf.put(1, 2, 3)
    assert shelf.tree.num_nodes == 1
    assert shelf.pool.num_idle == 1
    shelf.put(1, 2, 3, 4, 5)
    assert shelf.tree.num_nodes == 2
    shelf.put(1)
    assert shelf.tree.num_nodes == 2
    shelf.tree.check()


def test_eviction_takes_the_least_recently_used_leaf_first() -> None:
    shelf = Shelf()
    shelf.put(*range(8))
    shelf.put(*range(20, 24))
    shelf.put(*range(8))
    assert shelf.tree.evict()
    assert shelf.length(*range(20, 24)) == 0
    assert shelf.tree.evict()
    assert shelf.length(*range(8)) == 4
    assert shelf.tree.evict()
    assert not shelf.tree.evict()
    assert shelf.pool.num_free == shelf.pool.num_pages


def test_sessions_keep_theirs_longer() -> None:
    shelf = Shelf()
    shelf.put(*range(4), for_session=True)
    shelf.put(*range(20, 24))
    assert shelf.tree.evict()
    assert shelf.length(*range(4)) == 4
    shelf.clock.now_s += 2 * SESSION_GRACE_S
    shelf.put(*range(40, 44))
    assert shelf.tree.evict()
    assert shelf.length(*range(4)) == 0


def test_what_a_sequence_holds_is_not_evicted_and_can_be_later() -> None:
    shelf = Shelf()
    path = shelf.put(*range(4))
    shelf.pool.share(path[0].page)
    assert not shelf.tree.evict()
    shelf.pool.release(path[0].page)
    shelf.tree.touch(path, for_session=False)
    shelf.tree.check()
    assert shelf.tree.evict()


def test_the_list_of_leaves_does_not_grow_with_use() -> None:
    shelf = Shelf()
    for _ in range(1000):
        shelf.put(*range(8))
    assert len(shelf.tree._leaves) < 200
    shelf.tree.check()


def test_a_text_with_state_is_reused_up_to_a_checkpoint_only() -> None:
    shelf = Shelf(num_slots=4)
    assert shelf.states is not None
    path = shelf.put(*range(10))
    assert shelf.length(*range(10)) == 0
    slot = shelf.states.take()
    assert slot is not None
    shelf.states.keep(slot, path[1], 3)
    match, num_known = shelf.tree.match("", ints(range(10)), 10)
    assert (len(match.nodes), match.num_partial, match.state_slot, num_known) == (1, 3, slot, 8)
    assert shelf.length(*range(6)) == 0
    other = shelf.states.take()
    assert other is not None
    shelf.states.keep(other, path[1], 4)
    match, _ = shelf.tree.match("", ints(range(10)), 10)
    assert (len(match.nodes), match.partial, match.state_slot) == (2, None, other)


def test_a_checkpoint_moves_to_the_longer_page() -> None:
    shelf = Shelf(num_slots=2)
    assert shelf.states is not None
    [node] = shelf.put(1, 2, 3)
    slot = shelf.states.take()
    assert slot is not None
    shelf.states.keep(slot, node, 3)
    shelf.put(1, 2, 3, 4)
    assert shelf.length(1, 2, 3, 4, 5) == 3
    shelf.states.check(set())


def test_eviction_frees_the_checkpoints_of_a_page() -> None:
    shelf = Shelf(num_slots=1)
    assert shelf.states is not None
    [node] = shelf.put(1, 2, 3)
    slot = shelf.states.take()
    assert slot is not None
    shelf.states.keep(slot, node, 3)
    assert shelf.tree.evict()
    assert shelf.states.num_checkpoints == 0
    shelf.states.check(set())


@pytest.mark.parametrize(
    ("a", "b", "length"),
    [([], [1], 0), ([1], [1], 1), ([1, 2], [1, 3], 1), ([1, 2], [1, 2, 3], 2), ([4], [5], 0)],
)
def test_common_length(a: list[int], b: list[int], length: int) -> None:
    assert common_length(ints(a), ints(b)) == length
