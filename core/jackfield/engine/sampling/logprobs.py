"""Log-probabilities of the model's own distribution, before any penalty, mask or truncation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from jackfield.engine.contract import SampledToken
from jackfield.engine.sampling.candidates import Candidates, Scratch
from jackfield.engine.sampling.selection import highest

__all__ = ["with_logprobs"]


def with_logprobs(
    logits: npt.NDArray[np.float32], token_id: int, num_top: int, scratch: Scratch
) -> SampledToken:
    """Return the token with its natural log-probability and the ``num_top`` best alternatives."""
    weights = Candidates(scratch.ids, logits, scratch).weights()
    log_total = float(logits.max()) + math.log(float(weights.sum()))
    top: list[tuple[int, float]] = []
    if num_top > 0:
        best = highest(logits, num_top)
        best = best[np.argsort(-logits[best], kind="stable")]
        top = [(place, float(logits[place]) - log_total) for place in best.tolist()]
    return SampledToken(token_id, float(logits[token_id]) - log_total, top)
