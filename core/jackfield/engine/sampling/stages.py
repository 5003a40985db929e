"""The stages every request may use: top-k, top-p, min-p, temperature.

They follow the stage contract like those of plugins, at the orders that ``SamplerDescriptor`` names.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jackfield.engine.sampling.candidates import Candidates
from jackfield.engine.sampling.contract import SamplerStage
from jackfield.engine.sampling.selection import highest, likeliest
from jackfield.service.requests import Sampling

__all__ = ["MinP", "Temperature", "TopK", "TopP", "core_stages"]

I32 = npt.NDArray[np.int32]
Uniform = Callable[[], float]


class Stateless:
    """A stage that has nothing to learn from what was drawn."""

    def accept(self, token_id: int, probability: float) -> None:
        """Learn nothing."""


class TopK(Stateless):
    """Keep the ``k`` most probable tokens."""

    def __init__(self, k: int) -> None:
        self._k = k

    def apply(self, candidates: Candidates, history: I32, uniform: Uniform) -> None:
        """Keep the best ``k``."""
        if self._k < len(candidates):
            candidates.keep(highest(candidates.logits, self._k))


class TopP(Stateless):
    """Keep the smallest set of most probable tokens whose probabilities sum to ``p``."""

    def __init__(self, p: float) -> None:
        self._p = p

    def apply(self, candidates: Candidates, history: I32, uniform: Uniform) -> None:
        """Keep the nucleus."""
        candidates.keep(likeliest(candidates.weights(), self._p))


class MinP(Stateless):
    """Keep tokens at least ``p`` times as probable as the best."""

    def __init__(self, p: float) -> None:
        self._distance = np.float32(-math.log(p))

    def apply(self, candidates: Candidates, history: I32, uniform: Uniform) -> None:
        """Keep what is near enough to the best."""
        logits = candidates.logits
        candidates.keep(np.flatnonzero(logits >= logits.max() - self._distance))


class Temperature(Stateless):
    """Divide the logits by the temperature, measured from the best so that nothing overflows."""

    def __init__(self, temperature: float) -> None:
        # the smallest normal float32: below it the division would make 0 * inf of the best logit
        self._temperature = np.float32(max(temperature, 1.2e-38))

    def apply(self, candidates: Candidates, history: I32, uniform: Uniform) -> None:
        """Scale the logits."""
        logits = candidates.logits
        logits -= logits.max()
        with np.errstate(over="ignore"):
            logits /= self._temperature


def core_stages(sampling: Sampling) -> list[tuple[int, SamplerStage]]:
    """Return the request's own stages with their orders; mirostat takes the truncations' place."""
    if sampling.temperature == 0.0:
        return []
    stages: list[tuple[int, SamplerStage]] = [(300, Temperature(sampling.temperature))]
    if sampling.mirostat:
        return stages
    if sampling.top_k > 0:
        stages.append((200, TopK(sampling.top_k)))
    if sampling.top_p < 1.0:
        stages.append((220, TopP(sampling.top_p)))
    if sampling.min_p > 0.0:
        stages.append((230, MinP(min(sampling.min_p, 1.0))))
    return stages
