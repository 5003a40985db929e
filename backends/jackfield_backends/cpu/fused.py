"""What ops do for their neighbours: a product adds its residual, a producer quantises its own output."""

from __future__ import annotations

from dataclasses import dataclass

from jackfield.program import Buffer, Op
from jackfield.program.ops import Attend, Glu, Linear, RmsNorm
from jackfield_backends.cpu.quantize import BLOCK

__all__ = ["LinearAdd", "can_quantize_output"]


@dataclass(frozen=True)
class LinearAdd(Linear):
    """``out = (x @ weight.T) * scale + bias + residual``; ``out`` may lie where ``residual`` does."""

    residual: Buffer  # [rows, out]


def can_quantize_output(op: Op) -> bool:
    """Tell whether an op's kernel can make the quantised copy of its output itself."""
    match op:
        case RmsNorm():
            return op.group == op.x.width and op.x.width % BLOCK == 0
        case Glu():
            return op.out.width % BLOCK == 0
        case Attend():
            return op.cache.value_width % BLOCK == 0
        case _:
            return False
