"""Matrix products: ``out = (x @ weight.T) * scale + bias``."""

from __future__ import annotations

from jackfield.program import Inputs, ops

__all__ = ["linear"]


def linear(op: ops.Linear, inputs: Inputs) -> None:
    """Multiply every row by the weight."""
    out = inputs.read(op.x) @ inputs.weight(op.weight).T
    if op.scale is not None:
        out = out * inputs.weight(op.scale)
    if op.bias is not None:
        out = out + inputs.weight(op.bias)
    inputs.write(op.out, out)
