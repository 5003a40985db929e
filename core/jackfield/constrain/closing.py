"""The way out of a grammar: tokens that complete what was said so far.

No library tells the shortest one, so this looks for a short one, a byte at a time: brackets and quotes that close come
first, and where the same bytes are allowed again, another of them is tried, so that no loop of a grammar holds it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

from jackfield.constrain.vocabulary import Vocabulary

__all__ = ["shortest_way_out"]

Bits = npt.NDArray[np.uint32]
ORDER = np.array(list(dict.fromkeys(b'}]"0>nt;)e.-/_ ' + bytes(range(256)))), np.intp)
FREE_TEXT = b'\n"}<a'
"""Where all of these may come, text is free, and only a tag leads out of it."""

SPECIAL = 0xFF
"""Begins the library's own spelling of a token that stands for no text."""


def shortest_way_out(
    matcher: LLMatcher, vocabulary: Vocabulary, closers: Sequence[Sequence[int]], most_tokens: int
) -> list[int] | None:
    """Return tokens after which the grammar is satisfied; ``None`` when none were found within ``most_tokens``.

    Args:
        matcher: Not changed.
        closers: Tokens of the tags that end free text.
    """
    return _Search(matcher, vocabulary, closers, most_tokens).run()


class _Search:
    def __init__(
        self,
        matcher: LLMatcher,
        vocabulary: Vocabulary,
        closers: Sequence[Sequence[int]],
        most_tokens: int,
    ) -> None:
        self._start = matcher
        self._matcher = matcher.deep_copy()
        self._vocabulary = vocabulary
        self._closers = closers
        self._most_tokens = most_tokens
        self._tokens: list[int] = []
        self._bytes = bytearray()
        self._tried: dict[bytes, int] = {}

    def run(self) -> list[int] | None:
        most_steps = 4 * self._most_tokens + 64
        for _ in range(most_steps):
            if self._matcher.is_accepting():
                return self._found()
            if self._matcher.is_stopped() or len(self._tokens) > self._most_tokens or not self._step():
                return None
        return None

    def _found(self) -> list[int] | None:
        self._spell_bytes()
        fits = len(self._tokens) <= self._most_tokens
        return (
            self._tokens if fits and self._start.validate_tokens(self._tokens) == len(self._tokens) else None
        )

    def _step(self) -> bool:
        forced = self._matcher.compute_ff_bytes()
        if forced and SPECIAL not in forced:
            self._bytes += forced
            return bool(self._matcher.consume_tokens(self._vocabulary.encode_bytes(forced)))
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint32)
        allowed = self._vocabulary.bytes_in(bits, ORDER)
        options = self._options(allowed, bits)
        if not options:
            return False
        turn = self._tried.get(allowed, 0)
        self._tried[allowed] = turn + 1
        option = options[turn % len(options)]
        self._take(option)
        return bool(self._matcher.consume_tokens(option))

    def _options(self, allowed: bytes, bits: Bits) -> list[list[int]]:
        if not allowed:
            ids = np.nonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))[0]
            return [[int(i)] for i in ids[:8]]
        is_free = all(byte in allowed for byte in FREE_TEXT)
        closers = [list(closer) for closer in self._closers if is_free and self._fits(closer)]
        return closers + [[self._vocabulary.bytes[byte]] for byte in allowed]

    def _fits(self, tokens: Sequence[int]) -> bool:
        return bool(self._matcher.validate_tokens(list(tokens)) == len(tokens))

    def _take(self, option: list[int]) -> None:
        byte = self._vocabulary.byte_of(option[0]) if len(option) == 1 else None
        if byte is not None:
            self._bytes.append(byte)
        else:
            self._spell_bytes()
            self._tokens += option

    def _spell_bytes(self) -> None:
        """Write the bytes found since as few tokens as a greedy reading finds."""
        self._tokens += self._vocabulary.encode_bytes(bytes(self._bytes))
        self._bytes.clear()
