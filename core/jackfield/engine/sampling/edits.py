"""What happens to the logits before any stage: bias, penalties, suppression, grammar.

Dimension letters: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from jackfield.service.requests import Sampling

__all__ = ["FixedEdits", "Penalties", "allowed_by", "bias_arrays", "is_allowed", "sorted_ids"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]
HUGE = 1e30
"""Parameters are cut to this: any logit it touches is out of the draw, and float32 does not overflow."""
LARGEST = np.float32(3e38)
"""Leaves room for the other penalties below float32's end."""


class FixedEdits:
    """What is done to every row alike: the bias, and the ids that are never picked."""

    def __init__(self, sampling: Sampling, never: Iterable[int], vocab_size: int) -> None:
        self._bias = bias_arrays(sampling.logit_bias)
        self._never = sorted_ids(never, vocab_size)

    def applied(self, logits: F32) -> F32:
        """Return an edited copy of a row."""
        edited = logits.copy()
        if self._bias is not None:
            edited[self._bias[0]] += self._bias[1]
        edited[self._never] = -np.inf
        return edited


class Penalties:
    """Repetition, presence and frequency penalties over the last tokens.

    l = l / r if l > 0 else l * r;  l = l - presence - count * frequency
    """

    def __init__(self, sampling: Sampling) -> None:
        self._repeat = np.float32(min(max(sampling.repeat_penalty, 1 / HUGE), HUGE))
        self._presence = _bounded(sampling.presence_penalty)
        self._frequency = _bounded(sampling.frequency_penalty)
        self._last_n = sampling.repeat_last_n

    @staticmethod
    def of(sampling: Sampling) -> Penalties | None:
        """Return the request's penalties, ``None`` when it has none."""
        neutral = (
            sampling.repeat_penalty == 1.0
            and sampling.presence_penalty == 0.0
            and sampling.frequency_penalty == 0.0
        )
        return None if neutral or sampling.repeat_last_n == 0 else Penalties(sampling)

    def apply(self, logits: F32, history: I32) -> None:
        """Change the logits of tokens in the window of ``history``, in place."""
        window = history if self._last_n < 0 else history[-self._last_n :]
        ids, counts = np.unique(window, return_counts=True)
        seen = logits[ids]
        with np.errstate(over="ignore"):
            repeated = np.where(seen > 0, seen / self._repeat, seen * self._repeat)
        seen = np.where(np.isfinite(seen), np.clip(repeated, -LARGEST, LARGEST), seen)
        logits[ids] = seen - self._presence - counts.astype(np.float32) * self._frequency


def bias_arrays(logit_bias: dict[int, float]) -> tuple[I32, F32] | None:
    """Return ids and amounts, ``None`` when there is no bias."""
    if not logit_bias:
        return None
    amounts = [amount if amount == -np.inf else _bounded(amount) for amount in logit_bias.values()]
    return np.array(list(logit_bias), np.int32), np.array(amounts, np.float32)


def sorted_ids(ids: Iterable[int], vocab_size: int) -> I32:
    """Return the ids that lie in the vocabulary, each once, ascending."""
    return np.array(sorted({i for i in ids if 0 <= i < vocab_size}), np.int32)


def is_allowed(bits: npt.NDArray[np.uint32], token_id: int) -> bool:
    """Tell whether a grammar's bitmask lets the token through; ids past its end are forbidden."""
    word = token_id >> 5
    return word < bits.size and bool((int(bits[word]) >> (token_id & 31)) & 1)


def allowed_by(bits: npt.NDArray[np.uint32], forbidden: I32, vocab_size: int) -> Indices:
    """Return the ids that a grammar's bitmask lets through, ascending; without the forbidden ones.

    A grammar that is complete allows only the end: then it counts for more than what forbids it.
    """
    flags = np.unpackbits(np.ascontiguousarray(bits, dtype="<u4").view(np.uint8), bitorder="little")
    flags = flags[:vocab_size].view(np.bool_)
    given = flags[forbidden[: forbidden.searchsorted(flags.size)]]
    flags[forbidden[: given.size]] = False
    ids = np.flatnonzero(flags)
    return ids if ids.size else forbidden[: given.size][given].astype(np.intp)


def _bounded(amount: float) -> np.float32:
    return np.float32(min(max(amount, -HUGE), HUGE))
