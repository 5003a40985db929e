"""Guess how a text goes on: the contract of drafters, and the one that looks it up in the text itself.

A guess never changes what is generated: it is verified in the step that computes it. So a drafter may be
wrong as often as it likes; what it costs then is the business of ``speculation``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Draft", "Drafter", "MakeDrafter", "PromptLookup"]

I32 = npt.NDArray[np.int32]
TOKEN_BYTES = 4
SIZES = (4, 2)
"""Tokens at the end of the text that are looked for before it, the surest first."""


@dataclass(frozen=True)
class Draft:
    """Tokens that may come next.

    Attributes:
        tokens: At least one.
        evidence: What the guess rests on. Acceptance is measured apart for each kind of evidence, so that a
            weak one that fails does not silence a strong one.
    """

    tokens: I32
    evidence: int


class Drafter(Protocol):
    """Guesses for one sequence; called from the engine's thread only."""

    def draft(self, history: I32, most: int) -> Draft | None:
        """Return at most ``most`` tokens that may follow ``history``; ``None`` for no idea.

        Args:
            history: Prompt and generated tokens so far, read-only; it only ever grows between calls.
            most: At least 1.
        """
        ...


MakeDrafter = Callable[[], Drafter]
"""Makes the drafter of a new sequence."""


class PromptLookup:
    """Find the last tokens earlier in the text and guess that it goes on as it did there.

    Source: Saxena 2023, prompt lookup decoding. The index grows with the text: each token is entered once
    for each size, and a guess takes one look-up for each.
    """

    def __init__(self) -> None:
        self._next: dict[bytes, int] = {}
        self._num_indexed = 0

    def draft(self, history: I32, most: int) -> Draft | None:
        """Return what followed the latest earlier occurrence of the longest ending that has one."""
        text = history.data.cast("B")
        self._index(text, history.size)
        for size in SIZES:
            start = self._next.get(bytes(text[-size * TOKEN_BYTES :]))
            if start is not None and size <= history.size:
                # where the text ends before the guess does, it repeats itself
                return Draft(np.resize(history[start : start + most], most), size)
        return None

    def _index(self, text: memoryview, num_tokens: int) -> None:
        """Note for the endings of the text's beginnings where they went on; the whole text's own is open."""
        for size in SIZES:
            for stop in range(max(self._num_indexed, size), num_tokens):
                self._next[bytes(text[(stop - size) * TOKEN_BYTES : stop * TOKEN_BYTES])] = stop
        self._num_indexed = num_tokens
