"""Peephole passes over a program's ops, before anything is placed.

Each pass takes the ops and the buffers that outlive the step, and returns ops with the same results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields

from jackfield.program import Buffer, Op
from jackfield.program.ops import Add, Linear
from jackfield_backends.cpu.fused import LinearAdd

__all__ = ["add_residuals", "rewrite"]

Pass = Callable[[Sequence[Op], Sequence[Buffer]], list[Op]]


def rewrite(ops: Sequence[Op], kept: Sequence[Buffer]) -> list[Op]:
    """Run every pass."""
    result = list(ops)
    for each in PASSES:
        result = each(result, kept)
    return result


def add_residuals(ops: Sequence[Op], kept: Sequence[Buffer]) -> list[Op]:
    """Let a ``Linear`` add the residual itself, when the sum is all that its output is for.

    The product moves to where the sum was, since the residual may be made in between.
    """
    readers = Counter(buffer.root.id for op in ops for buffer in op.reads)
    readers.update(buffer.root.id for buffer in kept)
    linears = {op.out.id: op for op in ops if type(op) is Linear and readers[op.out.id] == 1}
    result: list[Op] = []
    folded: set[int] = set()
    for op in ops:
        if type(op) is Add and op.x != op.y:
            product, residual = (op.x, op.y) if op.x.id in linears else (op.y, op.x)
            if product.id in linears:
                folded.add(product.id)
                result.append(_with_residual(linears[product.id], residual, op.out))
                continue
        result.append(op)
    return [op for op in result if not (type(op) is Linear and op.out.id in folded)]


def _with_residual(op: Linear, residual: Buffer, out: Buffer) -> LinearAdd:
    operands = {item.name: getattr(op, item.name) for item in fields(op)}
    return LinearAdd(**{**operands, "out": out}, residual=residual)


PASSES: tuple[Pass, ...] = (add_residuals,)
