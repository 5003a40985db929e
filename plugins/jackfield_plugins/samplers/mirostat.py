"""Mirostat: keep the surprise of the text near a target, by feedback.

    surprise(t) = -log2 p(t);  after each token:  mu = mu - eta * (surprise - tau),  from mu = 2 * tau

Version 2 keeps the tokens with surprise at most mu. Version 1 estimates the exponent s of a Zipf law from the
best tokens and keeps as many as have the expected surprise mu under it:

    s = sum(t_i * b_i) / sum(t_i ** 2),  t_i = ln((i + 2) / (i + 1)),  b_i = ln(p_i / p_{i+1})
    k = ((s - 1) * 2 ** mu / (1 - V ** (1 - s))) ** (1 / s)

Source: Basu et al. 2021, arXiv:2007.14966. Takes the place of the other truncations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from jackfield.descriptors import SamplerDescriptor
from jackfield.engine.sampling import Candidates, VocabularyView, highest
from jackfield.hooks import hookimpl
from jackfield.service.requests import Sampling

__all__ = ["MirostatV1", "MirostatV2", "build"]

I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]
NUM_ZIPF = 100
"""Tokens that the exponent is estimated from."""
MAX_MU = 1e6
"""Keeps the limit a number whatever the parameters; all tokens pass long before."""


class Feedback:
    """The running limit on surprise."""

    def __init__(self, tau: float, eta: float) -> None:
        self._tau = tau
        self._eta = eta
        self.mu = 2 * tau

    def accept(self, token_id: int, probability: float) -> None:
        """Move the limit against the error."""
        surprise = -math.log2(max(probability, 1e-300))
        mu = self.mu - self._eta * (surprise - self._tau)
        self.mu = min(max(mu, -MAX_MU), MAX_MU)


class MirostatV2(Feedback):
    """Keep the tokens that surprise little enough; always the best one."""

    def apply(self, candidates: Candidates, history: I32, uniform: Callable[[], float]) -> None:
        """Truncate."""
        weights = candidates.weights()
        # the exponent is bounded so that an extreme limit keeps all, or one, and does not overflow
        least = 2.0 ** min(max(-self.mu, -120.0), 0.0) * float(weights.sum())
        candidates.keep(np.flatnonzero(weights >= np.float32(min(least, 1.0))))


class MirostatV1(Feedback):
    """Keep as many of the best tokens as a Zipf law asks for."""

    def __init__(self, tau: float, eta: float, vocab_size: int) -> None:
        super().__init__(tau, eta)
        self._vocab_size = vocab_size

    def apply(self, candidates: Candidates, history: I32, uniform: Callable[[], float]) -> None:
        """Truncate."""
        best = highest(candidates.logits, NUM_ZIPF)
        weights = np.sort(candidates.weights()[best])[::-1].astype(np.float64)
        count = _expected_count(_zipf_exponent(weights), self.mu, self._vocab_size)
        candidates.keep(highest(candidates.logits, min(max(count, 1), len(candidates))))


def _zipf_exponent(weights: F64) -> float:
    """Fit the exponent to weights given in descending order; 1 where there is nothing to fit."""
    weights = weights[weights > 0]
    if weights.size < 2:
        return 1.0
    ranks = np.arange(weights.size - 1)
    steps = np.log((ranks + 2) / (ranks + 1))
    falls = np.log(weights[:-1] / weights[1:])
    return float((steps * falls).sum() / (steps * steps).sum())


def _expected_count(exponent: float, mu: float, vocab_size: int) -> int:
    """Return k, at most V, worked out in logarithms; the limits are taken where the formula has none."""
    if exponent <= 1e-6:
        return vocab_size
    excess = exponent - 1
    if abs(excess) < 1e-6:
        log_ratio = -math.log(max(math.log(vocab_size), 1e-9))
    else:
        log_ratio = math.log(abs(excess)) - math.log(abs(-math.expm1(-excess * math.log(vocab_size))))
    log_count = (log_ratio + mu * math.log(2)) / exponent
    return vocab_size if log_count >= math.log(vocab_size) else max(1, round(math.exp(max(log_count, 0.0))))


def build(sampling: Sampling, vocabulary: VocabularyView) -> MirostatV1 | MirostatV2 | None:
    """Return the version that was asked for, for requests that draw at random."""
    if not sampling.mirostat or sampling.temperature == 0.0:
        return None
    if sampling.mirostat == 2:
        return MirostatV2(sampling.mirostat_tau, sampling.mirostat_eta)
    return MirostatV1(sampling.mirostat_tau, sampling.mirostat_eta, vocabulary.vocab_size)


@hookimpl
def jackfield_samplers() -> Sequence[SamplerDescriptor]:
    """Declare mirostat."""
    return [
        SamplerDescriptor(
            name="mirostat",
            summary="hold the surprise near a target (mirostat 1 or 2, tau, eta)",
            factory="jackfield_plugins.samplers.mirostat:build",
            order=350,
        )
    ]
