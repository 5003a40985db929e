"""Finding special tokens spelt in a text: left to right, the longest at each place."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["SpecialMatcher"]

# special tokens begin with few different pairs of characters; looking for those first keeps the scan in C
_PREFIX = 2


class SpecialMatcher:
    """The special tokens of a vocabulary, by text.

    Args:
        ids: Text to token id; texts are not empty.
    """

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = dict(ids)
        self._lengths: dict[str, list[int]] = {}
        by_prefix: defaultdict[str, set[int]] = defaultdict(set)
        for text in self._ids:
            by_prefix[text[:_PREFIX]].add(len(text))
        for prefix, lengths in by_prefix.items():
            shorter = by_prefix.get(prefix[:1], set())
            self._lengths[prefix] = sorted(lengths | shorter, reverse=True)
        prefixes = sorted(by_prefix, key=len, reverse=True)
        self._start = re.compile("|".join(re.escape(prefix) for prefix in prefixes)) if prefixes else None

    def find(self, text: str, protected: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[int, int, int]]:
        """Yield ``(start, stop, token_id)`` of each match that touches no protected span.

        Args:
            protected: Half-open spans, ascending.
        """
        position = 0
        guard = _Guard(protected)
        while (start := self._next_start(text, position)) is not None:
            stop = self._stop(text, start, guard)
            if stop is None:
                position = start + 1
                continue
            yield start, stop, self._ids[text[start:stop]]
            position = stop

    def starts(self, text: str) -> Iterator[int]:
        """Yield each place where a special token is spelt, also inside of another."""
        guard = _Guard(())
        position = 0
        while (start := self._next_start(text, position)) is not None:
            if self._stop(text, start, guard) is not None:
                yield start
            position = start + 1

    def _next_start(self, text: str, position: int) -> int | None:
        found = self._start.search(text, position) if self._start else None
        return found.start() if found else None

    def _stop(self, text: str, start: int, guard: _Guard) -> int | None:
        lengths = self._lengths.get(text[start : start + _PREFIX]) or self._lengths[text[start]]
        for length in lengths:
            stop = start + length
            if text[start:stop] in self._ids and not guard.touches(start, stop):
                return stop
        return None


class _Guard:
    """Answers whether a span meets a protected one; asked with ascending starts."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._spans = spans
        self._index = 0

    def touches(self, start: int, stop: int) -> bool:
        while self._index < len(self._spans) and self._spans[self._index][1] <= start:
            self._index += 1
        return self._index < len(self._spans) and self._spans[self._index][0] < stop
