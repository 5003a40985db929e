"""Locally typical sampling: keep the tokens whose surprise is nearest to what the model expects.

    surprise(t) = -ln p(t);  H = sum p * surprise
    keep the tokens of smallest |surprise - H| until their p sum to typical_p

The logits stand for the surprise: they differ by a constant, which H shares.

Source: Meister et al. 2023, "Locally Typical Sampling", arXiv:2202.00666.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from jackfield.descriptors import SamplerDescriptor
from jackfield.engine.sampling import Candidates, VocabularyView, smallest_keys_of_mass
from jackfield.hooks import hookimpl
from jackfield.service.requests import Sampling

__all__ = ["Typical", "build"]

LEAST_SHIFT = np.float32(-200.0)


class Typical:
    """Keep the typical tokens."""

    def __init__(self, mass: float) -> None:
        self._mass = mass

    def apply(
        self, candidates: Candidates, history: npt.NDArray[np.int32], uniform: Callable[[], float]
    ) -> None:
        """Truncate."""
        weights = candidates.weights()
        total = float(weights.sum())
        # weights are exp(shifts); below the bound they are 0 in float32, and 0 * -inf is not a number
        shifts = candidates.logits - candidates.logits.max()
        np.maximum(shifts, LEAST_SHIFT, out=shifts)
        expected = np.float32(float(weights @ shifts) / total)
        keys = np.abs(np.subtract(shifts, expected, out=shifts), out=shifts)
        candidates.keep(smallest_keys_of_mass(keys, weights, self._mass * total))

    def accept(self, token_id: int, probability: float) -> None:
        """Learn nothing."""


def build(sampling: Sampling, vocabulary: VocabularyView) -> Typical | None:
    """Return the stage for requests that ask for it and draw at random."""
    if sampling.typical_p >= 1.0 or sampling.temperature == 0.0 or sampling.mirostat:
        return None
    return Typical(sampling.typical_p)


@hookimpl
def jackfield_samplers() -> Sequence[SamplerDescriptor]:
    """Declare typical sampling."""
    return [
        SamplerDescriptor(
            name="typical",
            summary="keep tokens of typical surprise (typical_p)",
            factory="jackfield_plugins.samplers.typical:build",
            order=210,
        )
    ]
