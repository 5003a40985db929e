"""The prefix tree: which pages hold which texts.

A node is one page: full pages form the inner tree, a shorter last page is always a leaf. A page is found by
its tokens themselves, compared byte for byte, so equal hashes can never give one text another's memory.
Texts of different salts are in different trees.

Dimension letters: N tokens a page.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from jackfield.engine.pages import PagePool
from jackfield.engine.states import StateSlots

__all__ = ["Match", "Node", "PrefixTree", "common_length"]

I32 = npt.NDArray[np.int32]
TOKEN_BYTES = 4
SESSION_GRACE_S = 1800.0
"""A session's pages are evicted as if they had been used this much later."""


class Node:
    """One page of text.

    Attributes:
        key: The page's tokens, int32 in memory order; shorter than a page only for a leaf.
        page: Which page holds them; -1 for a root.
        states: Checkpoints of fixed state: tokens into the page to slot.
        used_s: When it was last used; later for sessions.
    """

    __slots__ = ("children", "key", "page", "parent", "states", "used_s")

    def __init__(self, key: bytes, page: int, parent: Node | None) -> None:
        self.key = key
        self.page = page
        self.parent = parent
        self.children: dict[bytes, Node] = {}
        self.states: dict[int, int] = {}
        self.used_s = 0.0

    @property
    def num_tokens(self) -> int:
        """Tokens of this page."""
        return len(self.key) // TOKEN_BYTES


@dataclass(frozen=True)
class Match:
    """What the tree holds of a text.

    Attributes:
        nodes: Full pages, from the text's start.
        partial: A page of which only the first ``num_partial`` tokens agree; it has to be copied.
        state_slot: The checkpoint at the match's end, for programs with fixed state.
    """

    nodes: list[Node] = field(default_factory=list[Node])
    partial: Node | None = None
    num_partial: int = 0
    state_slot: int | None = None


class PrefixTree:
    """Find and keep pages by the text they hold.

    Args:
        states: For programs with fixed state: a match then ends at a checkpoint.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        pool: PagePool,
        states: StateSlots | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._states = states
        self._clock = clock
        self._roots: dict[str, Node] = {}
        self._leaves: list[tuple[float, int, Node]] = []
        self._order = itertools.count()
        self.num_nodes = 0

    def match(self, salt: str, tokens: I32, limit: int) -> tuple[Match, int]:
        """Return the longest usable prefix of ``tokens[:limit]``; takes no references.

        The second result is how many tokens lie in full pages that agree, usable or not.
        """
        root = self._roots.get(salt)
        if root is None or limit <= 0:
            return Match(), 0
        tokens = tokens[:limit]
        nodes = self._full_pages(root, tokens)
        num_known = len(nodes) * self._pool.page_size
        if self._states is not None:
            return self._match_state(root, nodes, tokens), num_known
        last = nodes[-1] if nodes else root
        partial, length = _longest_child(last, self._page_of(tokens, len(nodes)))
        return Match(nodes, partial, length), num_known

    def path(self, salt: str, tokens: I32) -> list[Node]:
        """Return the nodes of which all tokens are in the text, parents first."""
        root = self._roots.get(salt)
        if root is None:
            return []
        nodes = self._full_pages(root, tokens)
        last = nodes[-1] if nodes else root
        tail = last.children.get(self._page_of(tokens, len(nodes)).tobytes())
        return nodes if tail is None else [*nodes, tail]

    def insert(self, salt: str, parent: Node | None, tokens: I32, page: int) -> Node:
        """Return the node of this page of text under ``parent``.

        It is a new one that keeps ``page``, unless the tree has these tokens already.
        """
        parent = parent or self._roots.setdefault(salt, Node(b"", -1, None))
        key = tokens.tobytes()
        known = self._covering(parent, key)
        if known is not None:
            return known
        node = Node(key, page, parent)
        covered = [child for child in parent.children.values() if key.startswith(child.key)]
        parent.children[key] = node
        self.num_nodes += 1
        for shorter in covered:
            if self._states is not None:
                self._states.move(shorter, node)
            self._remove(shorter)
        self._pool.keep(page)
        return node

    def touch(self, path: Sequence[Node], *, for_session: bool) -> None:
        """Note that these nodes, parents before children, were used just now."""
        now = self._clock() + (SESSION_GRACE_S if for_session else 0.0)
        for node in path:
            node.used_s = max(node.used_s, now)
        if path:
            self._offer(path[-1])

    def evict(self) -> bool:
        """Free the least recently used idle page; tell whether there was one."""
        while self._leaves:
            used_s, _, node = heapq.heappop(self._leaves)
            if node.parent is not None and used_s == node.used_s and self._is_evictable(node):
                self._remove(node)
                return True
        return False

    def discard(self, node: Node) -> bool:
        """Remove a leaf that nobody uses; tell whether it could be removed."""
        if node.parent is None or not self._is_evictable(node):
            return False
        self._remove(node)
        return True

    def walk(self) -> Iterator[Node]:
        """Yield every node but the roots."""
        pending = list(self._roots.values())
        while pending:
            node = pending.pop()
            pending.extend(node.children.values())
            if node.parent is not None:
                yield node

    def check(self) -> None:
        """Assert that every node is well formed and that every idle page can be evicted."""
        offered = {id(node) for used_s, _, node in self._leaves if used_s == node.used_s}
        count = 0
        for node in self.walk():
            count += 1
            assert node.parent is not None
            assert node.parent.children[node.key] is node, "a node is filed under another text"
            assert node.parent.parent is None or node.parent.num_tokens == self._pool.page_size
            assert not node.children or node.num_tokens == self._pool.page_size, "a short page has children"
            assert not self._is_evictable(node) or id(node) in offered, "an idle leaf is never evicted"
        assert count == self.num_nodes, f"{count} nodes, but {self.num_nodes} are counted"

    # ---- matching ----

    def _full_pages(self, root: Node, tokens: I32) -> list[Node]:
        text, stride = tokens.tobytes(), self._pool.page_size * TOKEN_BYTES
        nodes: list[Node] = []
        node = root
        for start in range(0, len(text) - stride + 1, stride):
            child = node.children.get(text[start : start + stride])
            if child is None:
                break
            nodes.append(child)
            node = child
        return nodes

    def _match_state(self, root: Node, nodes: list[Node], tokens: I32) -> Match:
        """Cut the match back to the last checkpoint within it."""
        for depth in range(len(nodes), -1, -1):
            parent = nodes[depth - 1] if depth else root
            node, offset = _last_checkpoint(parent, self._page_of(tokens, depth))
            if node is None:
                continue
            if offset == self._pool.page_size:
                return Match([*nodes[:depth], node], state_slot=node.states[offset])
            return Match(nodes[:depth], node, offset, node.states[offset])
        return Match()

    def _page_of(self, tokens: I32, index: int) -> I32:
        return tokens[index * self._pool.page_size : (index + 1) * self._pool.page_size]

    # ---- growing and shrinking ----

    def _covering(self, parent: Node, key: bytes) -> Node | None:
        """Return the child that begins with these tokens, if there is one."""
        known = parent.children.get(key)
        if known is not None or len(key) == self._pool.page_size * TOKEN_BYTES:
            return known
        return next((child for child in parent.children.values() if child.key.startswith(key)), None)

    def _is_evictable(self, node: Node) -> bool:
        return not node.children and self._pool.is_idle(node.page)

    def _offer(self, node: Node) -> None:
        """List a node for eviction, if it can be evicted now."""
        if node.parent is None or not self._is_evictable(node):
            return
        heapq.heappush(self._leaves, (node.used_s, next(self._order), node))
        if len(self._leaves) > 4 * self.num_nodes + 64:
            self._leaves = [entry for entry in self._leaves if self._is_current(entry)]
            heapq.heapify(self._leaves)

    def _is_current(self, entry: tuple[float, int, Node]) -> bool:
        used_s, _, node = entry
        return node.parent is not None and used_s == node.used_s and self._is_evictable(node)

    def _remove(self, node: Node) -> None:
        parent = node.parent
        assert parent is not None
        if self._states is not None:
            self._states.drop_all(node)
        del parent.children[node.key]
        node.parent = None
        self.num_nodes -= 1
        self._pool.drop(node.page)
        self._offer(parent)
        if parent.parent is None and not parent.children:
            self._roots = {salt: root for salt, root in self._roots.items() if root.children}


def common_length(a: I32, b: I32) -> int:
    """Return how many leading tokens are equal."""
    shared = min(a.size, b.size)
    differs = np.flatnonzero(a[:shared] != b[:shared])
    return int(differs[0]) if differs.size else shared


def _longest_child(node: Node, tokens: I32) -> tuple[Node | None, int]:
    best, length = None, 0
    first = tokens[:1].tobytes()
    for child in node.children.values() if tokens.size else ():
        if child.key.startswith(first):
            shared = common_length(np.frombuffer(child.key, np.int32), tokens)
            if shared > length:
                best, length = child, shared
    return best, length


def _last_checkpoint(parent: Node, tokens: I32) -> tuple[Node | None, int]:
    best, length = None, 0
    for child in parent.children.values():
        if max(child.states, default=0) > length:
            shared = common_length(np.frombuffer(child.key, np.int32), tokens)
            offset = max((offset for offset in child.states if offset <= shared), default=0)
            if offset > length:
                best, length = child, offset
    return best, length
