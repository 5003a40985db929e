"""DRY, "don't repeat yourself": penalise tokens that would continue a repetition of the text's end.

    if the last n tokens stand earlier in the text too, followed by t:
        logit(t) -= multiplier * base ** (n - allowed_length),  for the longest such n >= allowed_length

A repetition does not reach over a sequence breaker, such as a line end; and breakers are not penalised.

Source: P. E. Weidmann 2024, text-generation-webui pull request 5677.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from jackfield.descriptors import SamplerDescriptor
from jackfield.engine.sampling import Candidates, VocabularyView
from jackfield.hooks import hookimpl
from jackfield.service.requests import Sampling

__all__ = ["Dry", "build"]

I32 = npt.NDArray[np.int32]
LONGEST = 256
"""Longer repetitions count as this long: the penalty is beyond all logits by then."""
MAX_PENALTY = 1e30


class Dry:
    """Penalise what would repeat the text."""

    def __init__(self, sampling: Sampling, vocabulary: VocabularyView) -> None:
        self._multiplier = sampling.dry_multiplier
        self._log_base = math.log(max(sampling.dry_base, 1e-30))
        self._allowed = max(sampling.dry_allowed_length, 1)
        self._last_n = sampling.dry_penalty_last_n
        self._breaks = Breakers(sampling.dry_sequence_breakers, vocabulary)
        self._num_seen = 0
        self._last_break = -1

    def apply(self, candidates: Candidates, history: I32, uniform: Callable[[], float]) -> None:
        """Lower the logits of tokens that have followed the text's end before."""
        start = 0 if self._last_n < 0 else max(0, history.size - self._last_n)
        self._note_breaks(history, start)
        window = history[start:]
        longest = min(history.size - 1 - max(self._last_break, start - 1), LONGEST)
        lengths = repeats(window, longest, self._allowed)
        penalised = {t: n for t, n in lengths.items() if not self._breaks.is_breaker(t)}
        if penalised:
            amounts = [self._penalty(length) for length in penalised.values()]
            candidates.lower(np.array(list(penalised), np.int32), np.array(amounts, np.float32))

    def accept(self, token_id: int, probability: float) -> None:
        """Learn nothing: the history tells all."""

    def _penalty(self, length: int) -> float:
        exponent = self._log_base * (length - self._allowed)
        return min(self._multiplier * math.exp(min(exponent, 69.0)), MAX_PENALTY)

    def _note_breaks(self, history: I32, start: int) -> None:
        """Find the last token that ends a breaker, among those that are new."""
        for index in range(max(self._num_seen, start), history.size):
            if self._breaks.ends_with(int(history[index])):
                self._last_break = index
        self._num_seen = history.size


class Breakers:
    """Find sequence breakers in the text that tokens spell, also where tokens cut them in two."""

    def __init__(self, texts: Sequence[str], vocabulary: VocabularyView) -> None:
        self._vocabulary = vocabulary
        self._breakers = [text.encode() for text in texts if text]
        self._reach = max((len(breaker) for breaker in self._breakers), default=1) - 1
        self._tail = b""

    def is_breaker(self, token_id: int) -> bool:
        """Tell whether a token by itself contains a breaker."""
        piece = self._vocabulary.piece(token_id)
        return any(breaker in piece for breaker in self._breakers)

    def ends_with(self, token_id: int) -> bool:
        """Take the text's next token; tell whether a breaker ends in it."""
        before, piece = len(self._tail), self._vocabulary.piece(token_id)
        text = self._tail + piece
        self._tail = text[-self._reach :] if self._reach else b""
        return any(text.find(breaker, max(0, before - len(breaker) + 1)) >= 0 for breaker in self._breakers)


def repeats(text: I32, longest: int, shortest: int) -> dict[int, int]:
    """Return for each token that followed an earlier copy of the text's end how long that copy is.

    Args:
        text: The tokens to look at.
        longest: Most tokens of the end that count.
        shortest: Copies with fewer tokens are left out.
    """
    if text.size < 2 or longest < shortest:
        return {}
    ends = np.flatnonzero(text[:-1] == text[-1])
    found: dict[int, int] = {}
    length = 1
    while ends.size:
        if length >= shortest:
            found.update(dict.fromkeys(text[ends + 1].tolist(), length))
        if length == longest:
            break
        ends = ends[ends >= length]
        ends = ends[text[ends - length] == text[-1 - length]]
        length += 1
    return found


def build(sampling: Sampling, vocabulary: VocabularyView) -> Dry | None:
    """Return the stage for requests that ask for it; it is a penalty, so it works on greedy ones too."""
    if sampling.dry_multiplier <= 0.0 or sampling.dry_penalty_last_n == 0:
        return None
    return Dry(sampling, vocabulary)


@hookimpl
def jackfield_samplers() -> Sequence[SamplerDescriptor]:
    """Declare DRY."""
    return [
        SamplerDescriptor(
            name="dry",
            summary="penalise repetitions by their length (dry_multiplier, dry_base, …)",
            factory="jackfield_plugins.samplers.dry:build",
            order=110,
        )
    ]
