"""Where buffers lie: those never needed at the same time share memory.

A buffer lives from the op that writes it to the last that reads it or a view of it; its quantised copy from the
first op that asks for it to the last. Largest first, each takes the lowest offset that is free for its whole life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from jackfield.program import Buffer, Op
from jackfield.program.ops import Activate, Add, AddBias, Glu, Mul, Scale, Softcap
from jackfield_backends.cpu.fused import LinearAdd
from jackfield_backends.cpu.memory import aligned

__all__ = ["Block", "Plan", "Span", "buffer_spans", "make_plan", "place_blocks"]

IN_PLACE: Mapping[type[Op], str] = {
    Activate: "x", Add: "x", AddBias: "x", Glu: "gate", Mul: "x", Scale: "x", Softcap: "x", LinearAdd: "residual",
}  # fmt: skip
"""Ops that may write over an operand, and which."""


@dataclass
class Span:
    """The ops, by number, between which something is needed; both ends included."""

    first: int
    last: int


@dataclass
class Block:
    """Memory for a while; several buffers when one is written over another."""

    num_bytes: int
    span: Span
    offset: int = 0


@dataclass
class Plan:
    """Offsets of buffers (by root id) and of their quantised copies (by buffer id) in one block of memory.

    Attributes:
        made_by_producer: The copies that an op makes of its own output; whether the rows are read as well.
    """

    buffers: dict[int, int] = field(default_factory=dict[int, int])
    activations: dict[int, int] = field(default_factory=dict[int, int])
    num_bytes: int = 0
    made_by_producer: dict[int, bool] = field(default_factory=dict[int, bool])


def buffer_spans(ops: Sequence[Op], kept: Sequence[Buffer]) -> dict[int, Span]:
    """Return the span of every buffer that owns memory; ``kept`` are needed after the last op."""
    spans: dict[int, Span] = {}
    for i, op in enumerate(ops):
        for buffer in op.writes:
            spans[buffer.root.id] = Span(i, i)
        for buffer in op.reads:
            spans[buffer.root.id].last = i
    for buffer in kept:
        spans[buffer.root.id].last = len(ops)
    return spans


def make_plan(
    ops: Sequence[Op],
    kept: Sequence[Buffer],
    sizes: Mapping[int, int],
    activations: Mapping[int, tuple[Span, int]],
) -> Plan:
    """Place all buffers.

    Args:
        kept: Buffers that outlive the step: its results.
        sizes: Bytes of each buffer that owns memory.
        activations: Span and bytes of each quantised copy.
    """
    spans = buffer_spans(ops, kept)
    blocks = {root: Block(sizes[root], replace(span)) for root, span in spans.items()}
    for i, op in enumerate(ops):
        _write_over(op, i, blocks, spans)
    copies = {buffer: Block(aligned(size), span) for buffer, (span, size) in activations.items()}
    total = place_blocks([*{id(block): block for block in blocks.values()}.values(), *copies.values()])
    return Plan(
        {root: block.offset for root, block in blocks.items()},
        {buffer: block.offset for buffer, block in copies.items()},
        total,
    )


def _write_over(op: Op, i: int, blocks: dict[int, Block], spans: Mapping[int, Span]) -> None:
    """Let an op's output take its operand's block, when that operand is whole and ends here."""
    if type(op) not in IN_PLACE:
        return
    operand: Buffer = getattr(op, IN_PLACE[type(op)])
    (out,) = op.writes
    fits = operand.base is None and operand.width == out.width and operand.rows is out.rows
    alone = [buffer.root for buffer in op.reads].count(operand) == 1
    if fits and alone and spans[operand.id].last == i:
        block = blocks[operand.id]
        block.span.last = max(block.span.last, spans[out.id].last)
        blocks[out.id] = block


def place_blocks(blocks: Sequence[Block]) -> int:
    """Give every block its offset and return the bytes they take together."""
    placed: list[Block] = []
    for block in sorted(blocks, key=lambda block: (-block.num_bytes, block.span.first)):
        first, last = block.span.first, block.span.last
        rivals = [other for other in placed if other.span.first <= last and first <= other.span.last]
        block.offset = 0
        for other in sorted(rivals, key=lambda other: other.offset):
            if block.offset + block.num_bytes <= other.offset:
                break
            block.offset = max(block.offset, other.offset + other.num_bytes)
        placed.append(block)
    return max((block.offset + block.num_bytes for block in blocks), default=0)
