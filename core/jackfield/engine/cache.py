"""Give sequences their pages and states, from the prefix tree where it has them, and take them back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jackfield.backend import Executable, Limits
from jackfield.engine.contract import CacheExpectation
from jackfield.engine.pages import PagePool
from jackfield.engine.prefix import Match, Node, PrefixTree
from jackfield.engine.sequence import Sequence
from jackfield.engine.sessions import SessionTrails
from jackfield.engine.states import StateSlots

__all__ = ["SequenceCache"]

I32 = npt.NDArray[np.int32]
NOT_ASKED = "the request asked for a fresh start"


@dataclass(frozen=True)
class Offer:
    """What a sequence would get if it were admitted now.

    Attributes:
        num_cached: Tokens it would not have to compute.
        num_missing: Pages to be taken.
        num_claimed: Idle pages that would be claimed, so that they could not be evicted any more.
        num_known: Tokens whose pages the tree has, whether or not there is a state to go on from.
    """

    match: Match
    num_cached: int
    num_missing: int
    num_claimed: int
    num_known: int


class SequenceCache:
    """Own the page pool, the prefix tree, the state slots and the sessions of one executable."""

    def __init__(
        self,
        executable: Executable,
        limits: Limits,
        *,
        is_recurrent: bool,
        clock: Callable[[], float] = time.monotonic,
        on_free: Callable[[int], None] | None = None,
    ) -> None:
        self._executable = executable
        self.pool = PagePool(limits.num_pages, limits.page_size, on_free)
        self.states = StateSlots(limits.num_state_slots) if is_recurrent else None
        self.tree = PrefixTree(self.pool, self.states, clock)
        self.sessions = SessionTrails(self.tree)

    # ---- admission ----

    def offer(self, sequence: Sequence) -> Offer:
        """Return what the sequence would get now."""
        match, num_known = Match(), 0
        if sequence.uses_cache or sequence.is_admitted:
            match, num_known = self.tree.match(sequence.salt, sequence.history, sequence.num_reusable)
        return self._offer(sequence, match, num_known)

    def without_copy(self, sequence: Sequence, offer: Offer) -> Offer:
        """Return the same offer without the page that has to be copied, which takes a page more."""
        if self.states is not None:
            return self._offer(sequence, Match(), offer.num_known)
        return self._offer(sequence, Match(offer.match.nodes), offer.num_known)

    def fits(self, offer: Offer, headroom: int) -> bool:
        """Tell whether the pages and a state can be had, with ``headroom`` pages to spare."""
        if self.states is not None and not self.states.num_available:
            return False
        return offer.num_missing + offer.num_claimed + headroom <= self.pool.num_available

    def attach(self, sequence: Sequence, offer: Offer) -> None:
        """Give the sequence what was offered; on an error it holds what it got until it is released."""
        match = offer.match
        for node in match.nodes:
            self.pool.share(node.page)
            sequence.pages.append(node.page)
            sequence.nodes.append(node)
        sequence.num_adopted = len(match.nodes)
        source = match.partial
        if source is not None:
            self.pool.share(source.page)
        try:
            self._give_state(sequence, match.state_slot)
            if not self.extend(sequence, sequence.num_tokens):
                raise AssertionError("a sequence was admitted without enough pages")
            if source is not None:
                self._executable.copy_page(source.page, sequence.pages[len(match.nodes)])
        finally:
            if source is not None:
                self.pool.release(source.page)
        for_session = sequence.session_id is not None
        self.tree.touch([*match.nodes, *([source] if source is not None else [])], for_session=for_session)
        sequence.num_computed = offer.num_cached
        self._set_stops(sequence, offer.num_known)

    def expect(self, prompt: I32, salt: str, session_id: str | None) -> CacheExpectation:
        """Return what a sequence with this prompt would be given now; nothing is taken or touched."""
        match, _ = self.tree.match(salt, prompt, prompt.size - 1)
        num_cached = len(match.nodes) * self.pool.page_size + match.num_partial
        return CacheExpectation(num_cached, self.sessions.explain(session_id, salt, prompt, num_cached))

    def note(self, sequence: Sequence) -> str:
        """Return why less was reused than the sequence's session held; empty when nothing was lost."""
        if not sequence.uses_cache:
            return NOT_ASKED if sequence.session_id is not None else ""
        sessions = self.sessions
        return sessions.explain(sequence.session_id, sequence.salt, sequence.history, sequence.num_computed)

    # ---- while running ----

    def extend(self, sequence: Sequence, num_tokens: int) -> bool:
        """Take pages until the sequence has room for that many tokens; tell whether it has."""
        while len(sequence.pages) * self.pool.page_size < num_tokens:
            page = self.pool.take()
            if page is None:
                if not self.tree.evict():
                    return False
                continue
            sequence.pages.append(page)
        return True

    def advance(self, sequence: Sequence, num_rows: int) -> None:
        """Note that the sequence's next rows were computed: publish full pages, take a checkpoint."""
        sequence.num_computed += num_rows
        if not sequence.fills_cache:
            return
        if (len(sequence.nodes) + 1) * self.pool.page_size <= sequence.num_computed:
            self._publish(sequence)
        at_prompt_end = sequence.num_computed == sequence.num_prompt
        at_stop = bool(sequence.stops) and sequence.num_computed >= sequence.stops[0]
        if at_prompt_end or at_stop:
            self._checkpoint(sequence)

    def release(self, sequence: Sequence, *, keep: bool) -> None:
        """Take everything back.

        Args:
            keep: Keep what was computed in the tree; else forget what this sequence brought there.
        """
        keep = keep and sequence.fills_cache
        leaf = self._publish_tail(sequence) if keep else None
        if leaf is not None and sequence.slot is not None:
            self._file_state(sequence, leaf)
        nodes, own = sequence.nodes, sequence.nodes[sequence.num_adopted :]
        ends = [node for node in (sequence.tail, leaf) if node is not None]
        self._take_back(sequence)
        self.tree.touch(nodes, for_session=keep and sequence.session_id is not None)
        for node in ends:
            self.tree.touch([node], for_session=keep and sequence.session_id is not None)
        if not keep:
            self._discard([*own, *ends])

    def retire(self, sequence: Sequence) -> None:
        """Release a sequence that came to a regular end and remember its text for its session."""
        if sequence.session_id is not None and sequence.fills_cache:
            computed = sequence.tokens[: sequence.num_computed]
            self.sessions.remember(sequence.session_id, sequence.salt, computed)
        self.release(sequence, keep=True)

    def check(self, holders: Iterable[Sequence]) -> None:
        """Assert that every page and slot is where the books say."""
        counts: dict[int, int] = {}
        live: set[int] = set()
        for sequence in holders:
            for page in sequence.pages:
                counts[page] = counts.get(page, 0) + 1
            for node, page in zip(sequence.nodes, sequence.pages, strict=False):
                assert node.page == page, "a sequence and its node hold different pages"
                assert node.parent is not None, "a sequence holds a node that is gone"
            if sequence.slot is not None:
                live.add(sequence.slot)
        for node in self.tree.walk():
            counts[node.page] = counts.get(node.page, 0) + 1
        self.pool.check(counts)
        self.tree.check()
        if self.states is not None:
            self.states.check(live)

    # ---- parts ----

    def _offer(self, sequence: Sequence, match: Match, num_known: int) -> Offer:
        pool = self.pool
        claimed = [*match.nodes, *([match.partial] if match.partial is not None else [])]
        return Offer(
            match,
            num_cached=len(match.nodes) * pool.page_size + match.num_partial,
            num_missing=pool.pages_for(sequence.num_tokens) - len(match.nodes),
            num_claimed=sum(pool.is_idle(node.page) for node in claimed),
            num_known=num_known,
        )

    def _give_state(self, sequence: Sequence, checkpoint: int | None) -> None:
        if self.states is None:
            return
        sequence.slot = self.states.take(spare=checkpoint)
        if checkpoint is None:
            assert sequence.slot is not None, "a sequence was admitted without a state slot"
            self._executable.clear_state(sequence.slot)
        elif sequence.slot is None:
            self.states.adopt(checkpoint)
            sequence.slot = checkpoint
        else:
            self.states.touch(checkpoint)
            self._executable.copy_state(checkpoint, sequence.slot)

    def _set_stops(self, sequence: Sequence, num_known: int) -> None:
        """Plan checkpoints where other texts parted from this one, and at the last page boundary."""
        if self.states is None or not sequence.fills_cache:
            return
        last = (sequence.num_tokens - 1) // self.pool.page_size * self.pool.page_size
        sequence.stops = sorted({stop for stop in (num_known, last) if stop > sequence.num_computed})

    def _discard(self, path: list[Node]) -> None:
        for node in reversed(path):
            # a node that was replaced by a longer one is gone already
            if node.parent is not None and not self.tree.discard(node):
                break

    def _publish(self, sequence: Sequence) -> None:
        size = self.pool.page_size
        while (len(sequence.nodes) + 1) * size <= sequence.num_computed:
            index = len(sequence.nodes)
            node = self._insert(sequence, index, size)
            if node.page != sequence.pages[index]:  # computed twice at the same time: keep the first
                self.pool.share(node.page)
                self.pool.release(sequence.pages[index])
                sequence.pages[index] = node.page
                sequence.num_tabled = min(sequence.num_tabled, index)
            sequence.nodes.append(node)

    def _publish_tail(self, sequence: Sequence) -> Node | None:
        """Put the begun page into the tree as well; return the node where the computed text ends."""
        self._publish(sequence)
        index = len(sequence.nodes)
        length = sequence.num_computed - index * self.pool.page_size
        if length:
            return self._insert(sequence, index, length)
        return sequence.nodes[-1] if sequence.nodes else None

    def _insert(self, sequence: Sequence, index: int, length: int) -> Node:
        start = index * self.pool.page_size
        parent = sequence.nodes[-1] if sequence.nodes else None
        tokens = sequence.tokens[start : start + length]
        return self.tree.insert(sequence.salt, parent, tokens, sequence.pages[index])

    def _checkpoint(self, sequence: Sequence) -> None:
        while sequence.stops and sequence.stops[0] <= sequence.num_computed:
            sequence.stops.pop(0)
        leaf = sequence.tail = self._publish_tail(sequence)
        offset = self._offset(sequence)
        if self.states is None or leaf is None or offset in leaf.states:
            return
        slot = self.states.reserve_checkpoint()
        if slot is not None:
            assert sequence.slot is not None
            self.states.keep(slot, leaf, offset)
            try:
                self._executable.copy_state(sequence.slot, slot)
            except BaseException:
                self.states.drop(slot)
                raise

    def _file_state(self, sequence: Sequence, leaf: Node) -> None:
        """Turn a sequence's own state into the checkpoint of its end."""
        assert self.states is not None
        assert sequence.slot is not None
        offset = self._offset(sequence)
        if offset not in leaf.states:
            self.states.keep(sequence.slot, leaf, offset)
            sequence.slot = None

    def _offset(self, sequence: Sequence) -> int:
        """Return how far into its last page the computed text reaches."""
        return (sequence.num_computed - 1) % self.pool.page_size + 1

    def _take_back(self, sequence: Sequence) -> None:
        for page in sequence.pages:
            self.pool.release(page)
        if self.states is not None and sequence.slot is not None:
            self.states.release(sequence.slot)
        sequence.pages, sequence.nodes, sequence.stops = [], [], []
        sequence.slot = sequence.tail = None
        sequence.num_computed = sequence.num_tabled = sequence.num_adopted = 0
