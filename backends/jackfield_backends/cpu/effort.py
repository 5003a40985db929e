"""Roughly how long a step would take one thread, and so whether it is worth more than one.

A call that is shorter than a barrier gains nothing from a second thread, and on a busy machine it loses: a thread
whose core was taken away comes to the barrier a time slice later. Results are the same with any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jackfield.backend import Step, WeightSource
from jackfield.program import Op, Weight
from jackfield.program.ops import Attend, Embed, ExpertFeedForward, SoftEmbed

__all__ = ["Effort", "effort_of"]

READ_BYTES_PER_S = 15e9
PRODUCTS_PER_S = 5e10
WORTH_S = 3e-6
"""One thread's work a call from which on two threads are faster, also where barriers take long."""


@dataclass(frozen=True)
class Effort:
    """What the steps of a program cost.

    Attributes:
        weight_bytes: Read once a step.
        products: Multiply-adds a row.
        products_seen: Multiply-adds of attention for a row and each position it sees.
        num_calls: Calls that threads meet after.
    """

    weight_bytes: float
    products: float
    products_seen: float
    num_calls: int

    def num_threads(self, step: Step, most: int) -> int:
        """Return how many threads to run a step with: one or ``most``."""
        seen = float(np.sum(step.positions, dtype=np.float64)) + len(step.positions)
        products = self.products * len(step.tokens) + self.products_seen * seen
        seconds = self.weight_bytes / READ_BYTES_PER_S + products / PRODUCTS_PER_S
        return most if seconds > WORTH_S * self.num_calls else 1


def effort_of(ops: Sequence[Op], weights: WeightSource, num_calls: int) -> Effort:
    """Add up what ops cost; of experts only those that a row chooses."""
    weight_bytes, products, seen = 0.0, 0.0, 0.0
    for op in ops:
        if isinstance(op, Embed | SoftEmbed):
            continue
        if isinstance(op, Attend):
            seen += op.num_heads * (op.cache.key_width + op.cache.value_width)
        share = op.experts.width / op.down.shape[0] if isinstance(op, ExpertFeedForward) else 1.0
        for weight in op.weights:
            size = float(np.prod(weight.shape))
            products += size * share
            weight_bytes += size * share * _element_bytes(weight, weights)
    return Effort(weight_bytes, products, seen, num_calls)


def _element_bytes(weight: Weight, weights: WeightSource) -> float:
    tensor = weights[weight.name]
    return tensor.data.nbytes / float(np.prod(tensor.shape))
