"""Lower a whole program: every op by its lowerer, consecutive products of one input together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jackfield.descriptors import OpDescriptor, load_attribute
from jackfield.program import Op, Program
from jackfield.program.ops import ExpertFeedForward, Linear
from jackfield_backends.cpu import (
    attention,
    convolution,
    delta,
    elementwise,
    embed,
    kv,
    norms,
    rope,
    routing,
    scan,
)
from jackfield_backends.cpu.experts import lower_experts
from jackfield_backends.cpu.linear import lower_linears
from jackfield_backends.cpu.lowering import LOWERERS, Lowerer, Lowering

__all__ = ["lower_ops"]

BACKEND = "cpu"
FAMILIES = (
    attention,
    convolution,
    delta,
    elementwise,
    embed,
    kv,
    norms,
    rope,
    routing,
    scan,
)  # importing them registers
LOWERERS[ExpertFeedForward] = lower_experts


def lower_ops(ops: Sequence[Op], program: Program, lowering: Lowering) -> None:
    """Append the calls of all ops."""
    for start, group in _groups(ops):
        lowering.begin(start, group)
        first = group[0]
        if isinstance(first, Linear):
            lower_linears(lowering, [op for op in group if isinstance(op, Linear)])
        else:
            lower = lowerer_of(type(first), program)
            lowering.call_python(first) if lower is None else lower(lowering, first)


def lowerer_of(kind: type[Op], program: Program) -> Lowerer | None:
    """Return the lowerer of an op; ``None`` for a plugin's op without a kernel for this backend."""
    if kind in LOWERERS:
        return LOWERERS[kind]
    descriptor: OpDescriptor = program.plugin_ops[kind]
    path = dict(descriptor.kernels).get(BACKEND)
    if path is None:
        return None
    found: Lowerer = load_attribute(path, f"op {descriptor.name!r}")
    return found


def _groups(ops: Sequence[Op]) -> Iterator[tuple[int, list[Op]]]:
    """Yield ops one by one, but consecutive products of one input together."""
    start = 0
    while start < len(ops):
        group = [ops[start]]
        if isinstance(group[0], Linear):
            for op in ops[start + 1 :]:
                if not _joins(op, group):
                    break
                group.append(op)
        yield start, group
        start += len(group)


def _joins(op: Op, group: Sequence[Op]) -> bool:
    """Tell whether a product has the input of the group, and needs nothing that the group makes."""
    made = {buffer.root.id for other in group for buffer in other.writes}
    reads = {buffer.root.id for buffer in op.reads}
    return isinstance(op, Linear) and op.x == group[0].reads[0] and not made & reads
