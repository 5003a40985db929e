"""A step's calls, added up by what they do: products by their matrices' shape and format, the rest by kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jackfield.backend import CallTime, WeightSource
from jackfield.bench.observed import ObservedStep
from jackfield.program import Op, Rows, Weight, ops

__all__ = ["KINDS", "Part", "parts_of"]

KINDS: dict[type[Op], str] = {
    ops.Linear: "linear",
    ops.ExpertFeedForward: "experts",
    ops.RouteTopK: "routing",
    ops.Attend: "attention",
    ops.KvAppend: "attention",
    ops.Rope: "rope",
    ops.RmsNorm: "norms",
    ops.L2Norm: "norms",
    ops.Glu: "gating",
    ops.Activate: "gating",
    ops.Mul: "gating",
    ops.Add: "sums",
    ops.AddBias: "sums",
    ops.Scale: "sums",
    ops.Softcap: "sums",
    ops.Conv1d: "recurrence",
    ops.SsmScan: "recurrence",
    ops.DeltaRule: "recurrence",
    ops.Embed: "embedding",
    ops.SoftEmbed: "embedding",
    ops.ChooseRows: "rows",
    ops.SelectRows: "rows",
    ops.Concat: "rows",
    ops.SplitHeads: "rows",
}
PREPARING = "inputs of products"
PRODUCTS = (ops.Linear, ops.ExpertFeedForward)


@dataclass(frozen=True)
class Part:
    """What the calls of one kind took and did.

    Attributes:
        read_bytes: Bytes of matrices; 0 where none are read or, with experts and many rows, it is not known.
        operations: Multiplications and additions with them.
    """

    what: str
    seconds: float
    num_calls: int = 1
    read_bytes: float = 0.0
    operations: float = 0.0

    def rate(self, amount: float) -> float:
        """Return so much a second; 0 where the time was too short to see."""
        return amount / self.seconds if self.seconds else 0.0

    def __add__(self, other: Part) -> Part:
        return Part(
            self.what,
            self.seconds + other.seconds,
            self.num_calls + other.num_calls,
            self.read_bytes + other.read_bytes,
            self.operations + other.operations,
        )


def parts_of(steps: Sequence[ObservedStep], weights: WeightSource) -> dict[str, Part]:
    """Add up the calls of some steps, by what they do."""
    found: dict[str, Part] = {}
    for step in steps:
        for call in step.calls:
            part = _part_of(call, step, weights)
            found[part.what] = found[part.what] + part if part.what in found else part
    return found


def _part_of(call: CallTime, step: ObservedStep, weights: WeightSource) -> Part:
    if not call.ops:
        return Part(PREPARING, call.seconds)
    op = call.ops[0]
    matrices = [weight for weight in call.weights if len(weight.shape) > 1]
    if not isinstance(op, PRODUCTS) or not matrices:
        return Part(_kind_of(op), call.seconds)
    rows = step.num_rows if op.x.rows is Rows.TOKENS else step.num_outputs
    chosen = op.experts.width if isinstance(op, ops.ExpertFeedForward) else 1
    operations = 2.0 * rows * chosen * sum(math.prod(weight.shape[-2:]) for weight in matrices)
    read_bytes = sum(_read_bytes(weight, rows, chosen, weights) for weight in matrices)
    what = f"{_kind_of(op)} {_shape_of(matrices, weights)}"
    return Part(what, call.seconds, 1, read_bytes, operations)


def _kind_of(op: Op) -> str:
    """Return the kind of an op, one that a backend made of several included; a plugin's op has its own name."""
    known = (KINDS[kind] for kind in type(op).__mro__ if kind in KINDS)
    return next(known, type(op).__name__)


def _shape_of(matrices: Sequence[Weight], weights: WeightSource) -> str:
    heights = "+".join(str(weight.shape[-2]) for weight in matrices)
    formats = "+".join(dict.fromkeys(weights[weight.name].type_name for weight in matrices))
    return f"{heights}×{matrices[0].shape[-1]} {formats}"


def _read_bytes(weight: Weight, rows: int, chosen: int, weights: WeightSource) -> float:
    tensor = weights[weight.name]
    num_bytes = tensor.data.nbytes * math.prod(weight.shape) / math.prod(tensor.shape)
    if len(weight.shape) == 2:
        return num_bytes if rows else 0.0
    # how many experts several rows choose together is theirs to know
    return num_bytes * chosen / weight.shape[0] if rows == 1 else 0.0
