"""Finding fixed texts in a stream, where a text may be cut anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["Literals", "longest_partial"]


class Literals:
    """A set of fixed texts to watch for."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted({text for text in texts if text}, key=len, reverse=True)
        pattern = "|".join(map(re.escape, self._texts))
        self._pattern = re.compile(pattern) if self._texts else None

    def __bool__(self) -> bool:
        return bool(self._texts)

    def find(self, text: str, *, final: bool) -> tuple[int, str | None]:
        """Look for the earliest of the texts, the longest at its place.

        Args:
            final: Nothing follows, so a beginning of one is just text.

        Returns:
            Where it starts, and it; or up to where the text surely holds none, and ``None``.
        """
        if self._pattern is None:
            return len(text), None
        found = self._pattern.search(text)
        partial = len(text) if final else len(text) - longest_partial(text, self._texts)
        if found is None or (partial < len(text) and partial <= found.start()):
            return partial, None
        return found.start(), found.group()


def longest_partial(text: str, literals: Sequence[str]) -> int:
    """Return the length of the longest end of ``text`` that is a proper beginning of a literal."""
    longest = 0
    for literal in literals:
        for size in range(min(len(literal) - 1, len(text)), longest, -1):
            if literal.startswith(text[len(text) - size :]):
                longest = size
                break
    return longest
