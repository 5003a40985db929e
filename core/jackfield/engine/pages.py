"""The page pool: who holds which page of keys and values.

A page is free (no reference), held by sequences, or kept by the prefix tree; the tree's own reference counts
as one. A page that only the tree holds is *idle*: it can be evicted.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["PagePool"]


class PagePool:
    """Count the references to each page.

    Args:
        num_pages: P.
        page_size: N, tokens a page.
        on_free: Called with each page that loses its last reference.
    """

    def __init__(self, num_pages: int, page_size: int, on_free: Callable[[int], None] | None = None) -> None:
        self.num_pages = num_pages
        self.page_size = page_size
        self.num_idle = 0
        self._on_free = on_free
        self._free = list(range(num_pages - 1, -1, -1))
        self._references = [0] * num_pages
        self._is_kept = bytearray(num_pages)

    @property
    def num_free(self) -> int:
        """Pages that nobody holds."""
        return len(self._free)

    @property
    def num_available(self) -> int:
        """Pages that can be had, by eviction if need be."""
        return len(self._free) + self.num_idle

    def pages_for(self, num_tokens: int) -> int:
        """Return how many pages that many tokens take."""
        return -(-num_tokens // self.page_size)

    def references(self, page: int) -> int:
        """Return how many hold the page, the tree included."""
        return self._references[page]

    def is_idle(self, page: int) -> bool:
        """Tell whether only the tree holds the page."""
        return bool(self._is_kept[page]) and self._references[page] == 1

    def take(self) -> int | None:
        """Return a free page with one reference, ``None`` when there is none."""
        if not self._free:
            return None
        page = self._free.pop()
        self._references[page] = 1
        return page

    def share(self, page: int) -> None:
        """Add a reference to a page that is held or idle."""
        assert self._references[page] > 0, f"page {page} is free"
        self.num_idle -= self.is_idle(page)
        self._references[page] += 1

    def release(self, page: int) -> None:
        """Drop a sequence's reference."""
        assert self._references[page] > self._is_kept[page], f"page {page} has no sequence to release it"
        self._references[page] -= 1
        self.num_idle += self.is_idle(page)
        if not self._references[page]:
            self._to_free(page)

    def keep(self, page: int) -> None:
        """Add the tree's reference to a page that a sequence holds."""
        assert self._references[page] > 0, f"page {page} is free"
        assert not self._is_kept[page], f"page {page} is in the tree already"
        self._is_kept[page] = 1
        self._references[page] += 1

    def drop(self, page: int) -> None:
        """Drop the tree's reference."""
        assert self._is_kept[page], f"page {page} is not in the tree"
        self.num_idle -= self.is_idle(page)
        self._is_kept[page] = 0
        self._references[page] -= 1
        if not self._references[page]:
            self._to_free(page)

    def check(self, holders: dict[int, int]) -> None:
        """Assert that the books are right.

        Args:
            holders: For each page, how many sequences and tree nodes hold it by their own account.
        """
        assert len(set(self._free)) == len(self._free), "a page is free twice"
        for page, count in enumerate(self._references):
            expected = holders.get(page, 0)
            assert count == expected, f"page {page} has {count} references, but {expected} holders"
            assert (count == 0) == (page in set(self._free)), f"page {page} is free and held, or neither"
        idle = sum(self.is_idle(page) for page in range(self.num_pages))
        assert idle == self.num_idle, f"{idle} pages are idle, but {self.num_idle} are counted"

    def _to_free(self, page: int) -> None:
        self._free.append(page)
        if self._on_free is not None:
            self._on_free(page)
