"""XTC, "exclude top choices": now and then, drop every likely token but the least likely of them.

    with probability xtc_probability: of the tokens with p >= xtc_threshold, keep only the least probable

Source: P. E. Weidmann 2024, text-generation-webui pull request 6335.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from jackfield.descriptors import SamplerDescriptor
from jackfield.engine.sampling import Candidates, VocabularyView
from jackfield.hooks import hookimpl
from jackfield.service.requests import Sampling

__all__ = ["Xtc", "build"]


class Xtc:
    """Drop the top choices at times."""

    def __init__(self, probability: float, threshold: float) -> None:
        self._probability = probability
        self._threshold = threshold

    def apply(
        self, candidates: Candidates, history: npt.NDArray[np.int32], uniform: Callable[[], float]
    ) -> None:
        """Roll the dice, and drop."""
        if uniform() >= self._probability:
            return
        probabilities = candidates.probabilities()
        likely = np.flatnonzero(probabilities >= self._threshold)
        if likely.size < 2:
            return
        dropped = np.delete(likely, int(probabilities[likely].argmin()))
        candidates.keep(np.delete(np.arange(len(candidates)), dropped))

    def accept(self, token_id: int, probability: float) -> None:
        """Learn nothing."""


def build(sampling: Sampling, vocabulary: VocabularyView) -> Xtc | None:
    """Return the stage for requests that ask for it and draw at random.

    Above a threshold of one half no two tokens can be likely, so the stage could do nothing.
    """
    if sampling.xtc_probability <= 0.0 or sampling.xtc_threshold > 0.5:
        return None
    if sampling.temperature == 0.0 or sampling.mirostat:
        return None
    return Xtc(sampling.xtc_probability, sampling.xtc_threshold)


@hookimpl
def jackfield_samplers() -> Sequence[SamplerDescriptor]:
    """Declare XTC."""
    return [
        SamplerDescriptor(
            name="xtc",
            summary="exclude top choices at random (xtc_probability, xtc_threshold)",
            factory="jackfield_plugins.samplers.xtc:build",
            order=240,
        )
    ]
