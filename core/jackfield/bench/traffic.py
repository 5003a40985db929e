"""How many bytes of weights a step of one row reads."""

from __future__ import annotations

from jackfield.backend import WeightSource
from jackfield.program import Program
from jackfield.program.ops import ExpertFeedForward, Linear

__all__ = ["decode_bytes"]


def decode_bytes(program: Program, weights: WeightSource) -> int:
    """Return the bytes of all matrices, of experts only those that are chosen.

    Keys and values, norms and the embedding's one row are left out, so a share of the bandwidth that is
    computed from this is on the low side.
    """
    num_bytes = 0
    for op in program.ops:
        if isinstance(op, Linear):
            num_bytes += weights[op.weight.name].data.nbytes
        elif isinstance(op, ExpertFeedForward):
            for weight in (op.gate, op.up, op.gate_up, op.down):
                if weight is not None:
                    num_bytes += weights[weight.name].data.nbytes * op.experts.width // weight.shape[0]
    return num_bytes
