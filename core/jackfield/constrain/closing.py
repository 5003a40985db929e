"""The way out of a grammar: tokens that complete what was said so far.

No library tells the shortest one, so this looks for a short one, a byte at a time: brackets and quotes that close come
first, and where the same bytes are allowed again, another of them is tried, so that no loop of a grammar holds it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

from jackfield.constrain.vocabulary import NUM_BYTES, Vocabulary

__all__ = ["way_out"]

Bits = npt.NDArray[np.uint32]
CLOSING_FIRST = b'}]",0></nt;):_-.@!#$%&*+=?^|~ '
ORDER = np.array(list(dict.fromkeys((*CLOSING_FIRST, *range(126, -1, -1), *range(127, NUM_BYTES)))), np.int64)
"""Letters from the end of the alphabet on: where a thought or an answer may follow, the answer does."""
FREE_TEXT = b'\n"}<a'
"""Where all of these may come, text is free, and only a tag leads out of it."""

SPECIAL = 0xFF
"""Begins the library's own spelling of a token that stands for no text."""

MOST_BYTES_A_TOKEN = 6
MOST_LETTERS = 1_500
"""A way out that is longer is not looked for: the answer may then be cut."""

QUOTE = ord('"')
INSIDE_TEXT = 64
"""Where more bytes than that may come, a bracket is just text."""

LOOP = 5
"""The same choice so few letters later is one that leads around."""


def way_out(
    letters: LLMatcher,
    vocabulary: Vocabulary,
    closers: Sequence[Sequence[int]],
    most_tokens: int,
    *,
    num_attempts: int = 1,
) -> list[int] | None:
    """Return tokens after which the grammar is satisfied; ``None`` when none were found within ``most_tokens``.

    Args:
        letters: A matcher over the vocabulary's letters; not changed.
        closers: Letters of the tags that end free text.
        num_attempts: How often to begin with another choice when one leads nowhere.
    """
    for attempt in range(num_attempts):
        found = _Search(letters.deep_copy(), vocabulary, closers, attempt).run(most_tokens)
        if found is not None:
            return found
    return None


class _Search:
    def __init__(
        self, letters: LLMatcher, vocabulary: Vocabulary, closers: Sequence[Sequence[int]], first_turn: int
    ) -> None:
        self._letters = letters
        self._vocabulary = vocabulary
        self._closers = closers
        self._first_turn = first_turn
        self._found: list[int] = []
        self._tried: dict[bytes, tuple[int, int]] = {}
        self._ids = vocabulary.size + ORDER
        self._shifts = (self._ids & 31).astype(np.uint32)

    def run(self, most_tokens: int) -> list[int] | None:
        """Go on until the grammar is satisfied, or for so long that it would not fit."""
        most_letters = min(MOST_BYTES_A_TOKEN * most_tokens + 64, MOST_LETTERS)
        while not self._letters.is_accepting():
            if len(self._found) > most_letters or self._letters.is_stopped() or not self._step():
                return None
        tokens = self._vocabulary.tokens_of(self._found)
        return tokens if len(tokens) <= most_tokens else None

    def _step(self) -> bool:
        forced = self._letters.compute_ff_bytes()
        if forced and SPECIAL not in forced:
            return self._take(self._vocabulary.letters_of_bytes(forced))
        bits = np.frombuffer(self._letters.compute_bitmask(), np.uint32)
        allowed = ORDER[(bits[self._ids >> 5] >> self._shifts & np.uint32(1)) != 0]
        options = self._options(allowed, bits)
        if not options:
            return False
        return self._take(options[self._turn(allowed.tobytes()) % len(options)])

    def _turn(self, state: bytes) -> int:
        """Return which option to take: where the same were there a moment ago another one, and in turn the first.

        The same letters may be allowed in two places, such as a key and its value; what ends one ends both.
        """
        times, place = self._tried.get(state, (0, -LOOP))
        times = times + 1 if len(self._found) - place < LOOP else 0
        self._tried[state] = (times, len(self._found))
        return self._first_turn + ((times + 1) // 2 if times % 2 else 0)

    def _options(self, allowed: npt.NDArray[np.int64], bits: Bits) -> list[list[int]]:
        if not allowed.size:
            ids = np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))
            closing = [letters[0] for letters in self._closers]
            special = [int(i) for i in ids if int(i) not in self._vocabulary.ends]
            return [[i] for i in sorted(special, key=lambda i: i not in closing)]
        values = allowed.tolist()
        if len(values) > INSIDE_TEXT and QUOTE in values:
            values = [QUOTE, *(byte for byte in values if byte != QUOTE)]
        is_free = all(byte in values for byte in FREE_TEXT)
        closers = [list(closer) for closer in self._closers if is_free and self._fits(closer)]
        return closers + [[self._vocabulary.size + byte] for byte in values]

    def _fits(self, letters: Sequence[int]) -> bool:
        return bool(self._letters.validate_tokens(list(letters)) == len(letters))

    def _take(self, letters: list[int]) -> bool:
        self._found += letters
        return bool(self._letters.consume_tokens(letters))
