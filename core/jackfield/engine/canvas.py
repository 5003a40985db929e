"""One block of a diffusion model in the making: the entropy-bound sampler.

Every pass over the model gives each position a distribution. Positions are accepted from the surest on, until
their entropies add up to the bound, and take a token drawn from their distribution; the others are drawn anew
from the whole vocabulary. No decision is final: the next pass takes them all again, and knows the last
distributions (self-conditioning).

The random numbers are the sequence's own, in this order: the first canvas; then for each pass one number a
position for its token, and one for what it becomes if it is not accepted.

Dimension letters: C positions, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from jackfield.backend import SoftTokens
from jackfield.engine.sampling.draws import Draws
from jackfield.engine.sampling.edits import FixedEdits
from jackfield.engine.sampling.sampler import not_finite
from jackfield.program import BlockDiffusion

__all__ = ["Canvas", "Distributions", "accepted"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

NEGLIGIBLE = 1e-8
"""Tokens less likely than this are left out of self-conditioning; their sum is far below the weights' rounding."""


@dataclass(frozen=True)
class Distributions:
    """What a pass says of each position.

    Attributes:
        likeliest: ``[C]`` token ids.
        entropies: ``[C]`` in nats.
        drawn: ``[C]`` a token of each position's distribution.
        soft: The distributions themselves, without negligible tokens.
    """

    likeliest: I32
    entropies: F64
    drawn: I32
    soft: SoftTokens

    @classmethod
    def of(cls, logits: F32, temperature: float, edits: FixedEdits, uniforms: F64) -> Self:
        """Read them off a pass's logits ``[C, V]``, a position at a time: C times V numbers are many.

        Raises:
            NumericalError: Logits are not finite.
        """
        likeliest, drawn = np.empty(len(logits), np.int32), np.empty(len(logits), np.int32)
        entropies = np.empty(len(logits))
        ids: list[I32] = []
        weights: list[F32] = []
        for i, row in enumerate(logits):
            scores = edits.applied(row) / np.float32(temperature)
            best = int(scores.argmax())
            if not np.isfinite(scores[best]):  # argmax stops at a NaN
                raise not_finite(row, best, i)
            powers = np.exp(scores - scores[best])
            reached = np.cumsum(powers, dtype=np.float64)
            shares = powers / np.float32(reached[-1])
            kept: I32 = np.flatnonzero(shares >= NEGLIGIBLE).astype(np.int32)
            # H = ln Σ e^z − Σ p z, with z relative to the best; what is impossible adds nothing
            entropies[i] = np.log(reached[-1]) - float(shares[kept] @ (scores[kept] - scores[best]))
            wanted = float(uniforms[i]) * float(reached[-1])
            place = int(np.searchsorted(reached, wanted, side="right"))
            drawn[i] = kept[-1] if place > kept[-1] else place
            likeliest[i] = best
            ids.append(kept)
            weights.append(shares[kept])
        starts = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        soft = SoftTokens(starts, np.concatenate(ids), np.concatenate(weights))
        return cls(likeliest, entropies, drawn, soft)


def accepted(entropies: F64, bound: float) -> npt.NDArray[np.bool_]:
    """Return which positions are sure enough: from the surest on, while those before add up to the bound at most."""
    order = np.argsort(entropies, kind="stable")
    before = np.cumsum(entropies[order]) - entropies[order]
    mask = np.zeros(len(entropies), np.bool_)
    mask[order] = before <= bound
    return mask


class Canvas:
    """The block that a sequence works on.

    Args:
        vocab_size: V, the ids that may be drawn.

    Attributes:
        tokens: ``[C]`` what the next pass sees.
        soft: What it knows of the last one; ``None`` before the first.
        answer: ``[C]`` the likeliest tokens, which the block becomes.
        num_steps: Passes so far.
    """

    def __init__(self, diffusion: BlockDiffusion, vocab_size: int, edits: FixedEdits, draws: Draws) -> None:
        self.diffusion = diffusion
        self._vocab_size = vocab_size
        self._edits = edits
        self._draws = draws
        self.tokens = self._noise()
        self.soft: SoftTokens | None = None
        self.answer = self.tokens
        self.num_steps = 0
        self._past: list[I32] = []

    def refine(self, logits: F32) -> bool:
        """Take a pass's logits ``[C, V]``; tell whether the block is done.

        Raises:
            NumericalError: Logits are not finite.
        """
        self.num_steps += 1
        temperature = self.diffusion.temperature(self.num_steps)
        uniforms = self._draws.uniforms(self.diffusion.canvas_length)
        found = Distributions.of(logits, temperature, self._edits, uniforms)
        noise = self._noise()
        self.answer = found.likeliest
        if self._is_stable() and found.entropies.mean() < self.diffusion.confidence_threshold:
            return True
        self.tokens = np.where(accepted(found.entropies, self.diffusion.entropy_bound), found.drawn, noise)
        self.soft = found.soft
        return self.num_steps == self.diffusion.max_steps

    def _is_stable(self) -> bool:
        """Tell whether the answer is what it was for as many passes as it must be, and remember it."""
        wanted = self.diffusion.stability_threshold
        past, self._past = self._past, [*self._past, self.answer][-wanted:] if wanted else []
        return len(past) == wanted and all(np.array_equal(self.answer, each) for each in past)

    def _noise(self) -> I32:
        numbers = self._draws.uniforms(self.diffusion.canvas_length)
        return (numbers * self._vocab_size).astype(np.int32)
