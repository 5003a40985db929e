"""Products with weights in F32, F16 or BF16, in float32: what both shapes of them share.

    out[t, r] = Σ_k weight[r, k] * x[t, k]

The same shapes as for block formats: row products for few tokens (``linear_float_rows.py``), panels of 16 rows for
more (``linear_float_panels.py``). Nothing is rounded but the sums, and these have one order everywhere: column k
belongs to chain k modulo ``num_chains``; each chain is added up in order, ``fma(weight, x, chain)`` from zero; the
chains are added to zero, one after the other. Columns past the last whole round are a chain of their own, the last. Row
products have the chains in the lanes of a vector; panels, whose lanes are rows, walk one chain after the other. K may
be any number.
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield_backends.cpu.emit import F32, I16, I32, Value, zeros
from jackfield_backends.cpu.float16 import load_half
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.sums import pairwise

__all__ = ["ELEMENT_BYTES", "FEW_FLOAT_TOKENS", "load_weights", "num_chains", "summed_lanes"]

FEW_FLOAT_TOKENS = 12  # the most that are multiplied from the file's bytes
ELEMENT_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


def num_chains() -> int:
    """Return the number of chains on the instruction set in force."""
    return in_force().float_chains


def load_weights(p: Value, type_name: str, count: int, offset: int = 0) -> Value:
    """Read weights as float32."""
    if type_name == "F32":
        return p.load(F32, count, offset)
    if type_name == "F16":
        return load_half(p, count, offset)
    return (p.load(I16, count, offset).unsigned(I32) << 16).bits(F32)


def summed_lanes(rows: Sequence[Value]) -> Value:
    """Add up the lanes of each of four vectors, one after the other: the four sums."""
    a, b, c, d = rows
    pairs = [(pairwise(a, b, 1, high), pairwise(c, d, 1, high)) for high in (0, 1)]
    columns = [pairwise(first, second, 2, high) for first, second in pairs for high in (0, 1)]
    total = zeros(a.b, F32, 4)
    for start in range(0, a.count, 4):
        for column in columns:
            total = total + column.lanes(range(start, start + 4))
    return total
