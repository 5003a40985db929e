"""Ops that the peephole passes make out of two."""

from __future__ import annotations

from dataclasses import dataclass

from jackfield.program import Buffer
from jackfield.program.ops import Linear

__all__ = ["LinearAdd"]


@dataclass(frozen=True)
class LinearAdd(Linear):
    """``out = (x @ weight.T) * scale + bias + residual``; ``out`` may lie where ``residual`` does."""

    residual: Buffer  # [rows, out]
