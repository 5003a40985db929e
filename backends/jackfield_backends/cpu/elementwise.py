"""Elementwise ops, column moves and row selection: one loop over rows and stretches of columns.

    add x + y · add_bias x + b · mul x * y · scale x * f * w · activate f(x) · glu f(gate) * up · softcap c tanh(x / c)

Parallel over rows and stretches of ``COLUMNS`` columns. Reads 4 bytes an element and operand, writes 4. Functions
are those of ``simd.py``. An operand with row bytes of 0 is one row used for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jackfield.program import Activation, Buffer, GluKind
from jackfield.program.ops import (
    Activate,
    Add,
    AddBias,
    ChooseRows,
    Concat,
    Glu,
    Mul,
    Scale,
    SelectRows,
    Softcap,
    SplitHeads,
)
from jackfield_backends.cpu.fused import can_quantize_output
from jackfield_backends.cpu.kernel import arg, float_arg, kernel, kernel_family, load_i64, routine
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.quantize import BLOCK, quantize_block
from jackfield_backends.cpu.simd import (
    load_f32,
    load_f32x16,
    load_i32,
    maximum,
    minimum,
    sigmoid,
    silu,
    softplus,
    splat,
    store_f32x16,
    store_first,
    tanh,
)

__all__ = ["gated", "relu2"]

COLUMNS = 256  # a stretch: small enough to share a single row, large enough to hide the division
F0, F1, HALF = np.float32(0), np.float32(1), np.float32(0.5)
Function = Callable[..., Any]


@routine
def gelu(x: Any) -> Any:
    """Return the tanh form of GELU."""
    inner = x * np.float32(0.7978845608028654) * (x * x * np.float32(0.044715) + F1)
    return x * HALF * (tanh(inner) + F1)


@routine
def relu2(x: Any) -> Any:
    """Return max(x, 0)²; NaN stays NaN."""
    positive = maximum(x, splat(F0))
    return positive * positive


@routine
def gated_silu(gate: Any, up: Any) -> Any:
    """Return silu(gate) * up."""
    return silu(gate) * up


@routine
def gated_gelu(gate: Any, up: Any) -> Any:
    """Return gelu(gate) * up."""
    return gelu(gate) * up


@routine
def gated_sigmoid(gate: Any, up: Any) -> Any:
    """Return σ(gate) * up."""
    return sigmoid(gate) * up


@routine
def gated_oai(gate: Any, up: Any) -> Any:
    """Return gpt-oss's unit: the gate is bounded above, ``up`` on both sides, at 7."""
    limit = splat(np.float32(7))
    gate = minimum(gate, limit)
    up = maximum(minimum(up, limit), -limit)
    return gate * sigmoid(gate * np.float32(1.702)) * (up + F1)


@routine
def add(x: Any, y: Any) -> Any:
    """Return x + y."""
    return x + y


@routine
def mul(x: Any, y: Any) -> Any:
    """Return x * y."""
    return x * y


ACTIVATIONS: dict[str, Function] = {
    Activation.SILU: silu, Activation.GELU: gelu, Activation.RELU2: relu2, Activation.SIGMOID: sigmoid,
    Activation.SOFTPLUS: softplus,
}  # fmt: skip
PAIRS: dict[str, Function] = {
    "add": add, "mul": mul, GluKind.SILU: gated_silu, GluKind.GELU: gated_gelu,
    GluKind.SIGMOID: gated_sigmoid, GluKind.OAI: gated_oai,
}  # fmt: skip


def gated(kind: GluKind) -> Function:
    """Return the routine of a gated unit, from two vectors to one."""
    return PAIRS[kind]


@routine
def store_up_to(out: int, value: Any, left: int) -> None:
    """Write sixteen columns, or those that are left."""
    if left >= 16:
        store_f32x16(out, value)
    else:
        store_first(out, value, left)


@kernel_family
def map_pairs(kind: str) -> Any:
    """Apply a function of two operands: rows cell, width, then address and row bytes of x, y and out."""
    function = PAIRS[kind]

    def run(args: int, thread: int, num_threads: int) -> None:
        width, x, x_bytes, y, y_bytes = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4), arg(args, 5)
        out, out_bytes = arg(args, 6), arg(args, 7)
        parts = (width + COLUMNS - 1) // COLUMNS
        units = load_i64(arg(args, 0)) * parts
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            t, start = unit // parts, unit % parts * COLUMNS
            for c in range(start, min(start + COLUMNS, width), 16):
                value = function(load_f32x16(x + t * x_bytes + 4 * c), load_f32x16(y + t * y_bytes + 4 * c))
                store_up_to(out + t * out_bytes + 4 * c, value, width - c)

    return run


@kernel_family
def map_single(kind: str) -> Any:
    """Apply a function of one operand: rows cell, width, then address and row bytes of x and out."""
    function = ACTIVATIONS[kind]

    def run(args: int, thread: int, num_threads: int) -> None:
        width, x, x_bytes, out, out_bytes = (
            arg(args, 1),
            arg(args, 2),
            arg(args, 3),
            arg(args, 4),
            arg(args, 5),
        )
        parts = (width + COLUMNS - 1) // COLUMNS
        units = load_i64(arg(args, 0)) * parts
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            t, start = unit // parts, unit % parts * COLUMNS
            for c in range(start, min(start + COLUMNS, width), 16):
                value = function(load_f32x16(x + t * x_bytes + 4 * c))
                store_up_to(out + t * out_bytes + 4 * c, value, width - c)

    return run


@kernel
def scale_columns(args: int, thread: int, num_threads: int) -> None:
    """Multiply by one number a row: rows cell, width, x, y and out with their row bytes, and a constant factor.

    The number is ``y``'s of the row times the factor; y may be absent, 0.
    """
    width, x, x_bytes, y, y_bytes = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4), arg(args, 5)
    out, out_bytes, constant = arg(args, 6), arg(args, 7), float_arg(args, 8)
    parts = (width + COLUMNS - 1) // COLUMNS
    units = load_i64(arg(args, 0)) * parts
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        t, start = unit // parts, unit % parts * COLUMNS
        factor = constant * load_f32(y + t * y_bytes) if y else constant
        for c in range(start, min(start + COLUMNS, width), 16):
            store_up_to(out + t * out_bytes + 4 * c, load_f32x16(x + t * x_bytes + 4 * c) * factor, width - c)


@kernel
def choose_rows(args: int, thread: int, num_threads: int) -> None:
    """Copy each row from x or from y: rows cell, width, address and row bytes of x, y and out, which rows are x's."""
    width, x, x_bytes, y, y_bytes = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4), arg(args, 5)
    out, out_bytes, is_x = arg(args, 6), arg(args, 7), arg(args, 8)
    num_rows = load_i64(arg(args, 0))
    for t in range(num_rows * thread // num_threads, num_rows * (thread + 1) // num_threads):
        row = x + t * x_bytes if load_i32(is_x + 4 * t) else y + t * y_bytes
        for c in range(0, width, 16):
            store_up_to(out + t * out_bytes + 4 * c, load_f32x16(row + 4 * c), width - c)


@kernel
def cap_columns(args: int, thread: int, num_threads: int) -> None:
    """Bound to ±cap: rows cell, width, address and row bytes of x and out, cap."""
    width, x, x_bytes, out, out_bytes = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4), arg(args, 5)
    cap = float_arg(args, 6)
    parts = (width + COLUMNS - 1) // COLUMNS
    units = load_i64(arg(args, 0)) * parts
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        t, start = unit // parts, unit % parts * COLUMNS
        for c in range(start, min(start + COLUMNS, width), 16):
            value = tanh(load_f32x16(x + t * x_bytes + 4 * c) / cap) * cap
            store_up_to(out + t * out_bytes + 4 * c, value, width - c)


@kernel
def copy_columns(args: int, thread: int, num_threads: int) -> None:
    """Gather columns of rows: rows cell, heads, width, x, its row bytes, its head bytes, out, row bytes, row list.

    Row t of ``out`` comes from row ``list[t]`` of x, or from row t when there is no list (0).
    """
    num_heads, width, x, x_bytes, head_bytes = (
        arg(args, 1),
        arg(args, 2),
        arg(args, 3),
        arg(args, 4),
        arg(args, 5),
    )
    out, out_bytes, rows = arg(args, 6), arg(args, 7), arg(args, 8)
    units = load_i64(arg(args, 0)) * num_heads
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        t, h = unit // num_heads, unit % num_heads
        source = load_i32(rows + 4 * t) if rows else t
        start, to = x + source * x_bytes + h * head_bytes, out + t * out_bytes + 4 * h * width
        for c in range(0, width, 16):
            store_up_to(to + 4 * c, load_f32x16(start + 4 * c), width - c)


@kernel_family
def gate_quantize(kind: str) -> Any:
    """Make the kernel of a gated unit that quantises its output.

    Its arguments: rows cell, width, then address and row bytes of gate, up and out (or 0), place of the copy.
    """
    function = PAIRS[kind]

    def run(args: int, thread: int, num_threads: int) -> None:
        width, gate, gate_bytes, up, up_bytes = (
            arg(args, 1),
            arg(args, 2),
            arg(args, 3),
            arg(args, 4),
            arg(args, 5),
        )
        out, out_bytes, place = arg(args, 6), arg(args, 7), arg(args, 8)
        num_rows, blocks = load_i64(arg(args, 0)), width // BLOCK
        units = num_rows * blocks
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            t, block = unit // blocks, unit % blocks
            at = 4 * BLOCK * block
            g, u = gate + t * gate_bytes + at, up + t * up_bytes + at
            first = function(load_f32x16(g), load_f32x16(u))
            second = function(load_f32x16(g + 64), load_f32x16(u + 64))
            if out:
                store_f32x16(out + t * out_bytes + at, first)
                store_f32x16(out + t * out_bytes + at + 64, second)
            quantize_block(first, second, place, num_rows, t, blocks, block)

    return run


def _lower_pair(lowering: Lowering, kind: str, x: Buffer, y: tuple[int, int], out: Buffer) -> None:
    lowering.call(
        map_pairs(str(kind)), lowering.num_rows_cell(x.rows), x.width,
        lowering.address(x), lowering.row_bytes(x), *y, lowering.address(out), lowering.row_bytes(out),
    )  # fmt: skip


def _operand(lowering: Lowering, buffer: Buffer) -> tuple[int, int]:
    return lowering.address(buffer), lowering.row_bytes(buffer)


@lowers(Add)
def lower_add(lowering: Lowering, op: Add) -> None:
    """Append an addition."""
    _lower_pair(lowering, "add", op.x, _operand(lowering, op.y), op.out)


@lowers(AddBias)
def lower_add_bias(lowering: Lowering, op: AddBias) -> None:
    """Append the addition of one row to all."""
    _lower_pair(lowering, "add", op.x, (lowering.vector(op.bias), 0), op.out)


@lowers(Mul)
def lower_mul(lowering: Lowering, op: Mul) -> None:
    """Append a product, by elements or by one number a row."""
    if op.y.width == op.x.width:
        _lower_pair(lowering, "mul", op.x, _operand(lowering, op.y), op.out)
    else:
        _lower_scale(lowering, op.x, _operand(lowering, op.y), op.out, 1.0)


@lowers(Scale)
def lower_scale(lowering: Lowering, op: Scale) -> None:
    """Append a product with a constant; a row of the checkpoint is multiplied by the constant beforehand."""
    if op.weight is None:
        _lower_scale(lowering, op.x, (0, 0), op.out, op.factor)
    elif np.prod(op.weight.shape) == 1:
        _lower_scale(lowering, op.x, (lowering.vector(op.weight), 0), op.out, op.factor)
    else:
        row = lowering.floats(op.weight) * np.float32(op.factor)
        _lower_pair(lowering, "mul", op.x, (lowering.constant(row), 0), op.out)


def _lower_scale(lowering: Lowering, x: Buffer, y: tuple[int, int], out: Buffer, factor: float) -> None:
    lowering.call(
        scale_columns, lowering.num_rows_cell(x.rows), x.width,
        lowering.address(x), lowering.row_bytes(x), *y, lowering.address(out), lowering.row_bytes(out), factor,
    )  # fmt: skip


@lowers(Glu)
def lower_glu(lowering: Lowering, op: Glu) -> None:
    """Append a gated unit."""
    copy = lowering.output_copy(op.out) if can_quantize_output(op) else None
    if copy is not None:
        lowering.call(
            gate_quantize(str(op.kind)), lowering.num_rows_cell(op.gate.rows), op.gate.width,
            *_operand(lowering, op.gate), *_operand(lowering, op.up), copy.rows, lowering.row_bytes(op.out), copy.place,
        )  # fmt: skip
        return
    _lower_pair(lowering, op.kind, op.gate, _operand(lowering, op.up), op.out)


@lowers(Activate)
def lower_activate(lowering: Lowering, op: Activate) -> None:
    """Append a function."""
    lowering.call(
        map_single(str(op.kind)), lowering.num_rows_cell(op.x.rows), op.x.width,
        lowering.address(op.x), lowering.row_bytes(op.x), lowering.address(op.out), lowering.row_bytes(op.out),
    )  # fmt: skip


@lowers(Softcap)
def lower_softcap(lowering: Lowering, op: Softcap) -> None:
    """Append a soft bound."""
    lowering.call(
        cap_columns, lowering.num_rows_cell(op.x.rows), op.x.width,
        lowering.address(op.x), lowering.row_bytes(op.x), lowering.address(op.out), lowering.row_bytes(op.out), op.cap,
    )  # fmt: skip


@lowers(ChooseRows)
def lower_choose_rows(lowering: Lowering, op: ChooseRows) -> None:
    """Append a choice between two operands, row by row."""
    lowering.call(
        choose_rows, lowering.num_rows_cell(op.out.rows), op.out.width,
        lowering.address(op.canvas), lowering.row_bytes(op.canvas),
        lowering.address(op.text), lowering.row_bytes(op.text),
        lowering.address(op.out), lowering.row_bytes(op.out), lowering.tables.canvas_rows(op.out.rows),
    )  # fmt: skip


@lowers(Concat)
def lower_concat(lowering: Lowering, op: Concat) -> None:
    """Append two copies, side by side; their targets do not meet."""
    out, column = lowering.address(op.out), 0
    for part, barrier in ((op.x, False), (op.y, True)):
        lowering.call(
            copy_columns, lowering.num_rows_cell(part.rows), 1, part.width, lowering.address(part),
            lowering.row_bytes(part), 0, out + 4 * column, lowering.row_bytes(op.out), 0, barrier=barrier,
        )  # fmt: skip
        column += part.width


@lowers(SplitHeads)
def lower_split_heads(lowering: Lowering, op: SplitHeads) -> None:
    """Append a gather of the same columns of every head."""
    lowering.call(
        copy_columns, lowering.num_rows_cell(op.x.rows), op.heads, op.out.width // op.heads,
        lowering.address(op.x) + 4 * op.start, lowering.row_bytes(op.x), 4 * (op.x.width // op.heads),
        lowering.address(op.out), lowering.row_bytes(op.out), 0,
    )  # fmt: skip


@lowers(SelectRows)
def lower_select_rows(lowering: Lowering, op: SelectRows) -> None:
    """Append a gather of the rows whose logits are wanted."""
    lowering.call(
        copy_columns, lowering.num_rows_cell(op.out.rows), 1, op.x.width, lowering.address(op.x),
        lowering.row_bytes(op.x), 0, lowering.address(op.out), lowering.row_bytes(op.out),
        lowering.tables.output_rows,
    )  # fmt: skip
