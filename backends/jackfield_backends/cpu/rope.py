"""Rotary positions.

    angle_i = position * frequency_i;  (a, b) -> magnitude * (a cos - b sin, a sin + b cos)

Source: Su et al. 2021, arXiv:2104.09864. ``norm`` rotates neighbours, ``neox`` halves of the rotated columns; columns
past those are copied. Angles, cosines and sines are float64 and stored as float32, once a step for each table and
kind of rows, so a position of a million is as exact as one of ten.

Parallel over rows and heads. Reads and writes 8 bytes an element.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jackfield.program import RopeLayout, RopeTable, Rows
from jackfield.program.ops import Rope
from jackfield_backends.cpu.emit import F64, Value
from jackfield_backends.cpu.kernel import arg, float_arg, kernel, kernel_family, load_i64, routine
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.memory import aligned
from jackfield_backends.cpu.operation import f64, i64, operation
from jackfield_backends.cpu.simd import (
    f32x16,
    load_f32x16,
    load_i32,
    store_f32,
    store_first,
)
from jackfield_backends.cpu.table import Call

__all__ = []


@kernel
def make_rotations(args: int, thread: int, num_threads: int) -> None:
    """Tabulate cosines, then sines: rows cell, positions, float64 frequencies, pairs, out, row bytes, magnitude."""
    positions, frequencies, pairs, out, row_bytes = (
        arg(args, 1),
        arg(args, 2),
        arg(args, 3),
        arg(args, 4),
        arg(args, 5),
    )
    magnitude = float_arg(args, 6)
    units = load_i64(arg(args, 0)) * pairs
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        t, i = unit // pairs, unit % pairs
        angle = load_i32(positions + 4 * t) * load_f64(frequencies + 8 * i)
        at = out + t * row_bytes + 4 * i
        store_f32(at, np.float32(math.cos(angle)) * magnitude)
        store_f32(at + row_bytes // 2, np.float32(math.sin(angle)) * magnitude)


def rotation_table(lowering: Lowering, table: RopeTable, rows: Rows) -> tuple[int, int]:
    """Return address and row bytes of the step's cosines and sines; a row is the cosines, then the sines."""

    def prepare() -> tuple[Call, tuple[int, int]]:
        pairs = len(table.frequencies)
        row_bytes = 2 * aligned(4 * pairs)
        address = lowering.memory(row_bytes * lowering.max_rows(rows), "the rotation table")
        frequencies = lowering.constant(np.array(table.frequencies, np.float64))
        call = Call(
            make_rotations,
            (lowering.num_rows_cell(rows), lowering.tables.positions(rows), frequencies, pairs, address, row_bytes,
             table.magnitude),
        )  # fmt: skip
        return call, (address, row_bytes)

    found: tuple[int, int] = lowering.once_a_step(("rotations", table, rows), prepare)
    return found


@operation(f64, i64)
def load_f64(address: Value) -> Value:
    """Read a float64."""
    return address.load(F64)


@operation(f32x16, f32x16, f32x16)
def even_lanes(x: Value, y: Value) -> Value:
    """Return lanes 0, 2, 4 … of 32."""
    return x.lanes(range(0, 32, 2), y)


@operation(f32x16, f32x16, f32x16)
def odd_lanes(x: Value, y: Value) -> Value:
    """Return lanes 1, 3, 5 … of 32."""
    return x.lanes(range(1, 32, 2), y)


@operation(f32x16, f32x16, f32x16)
def mix_low(x: Value, y: Value) -> Value:
    """Return the first eight lanes of each, by turns."""
    return x.lanes([lane + 16 * side for lane in range(8) for side in (0, 1)], y)


@operation(f32x16, f32x16, f32x16)
def mix_high(x: Value, y: Value) -> Value:
    """Return the last eight lanes of each, by turns."""
    return x.lanes([lane + 16 * side for lane in range(8, 16) for side in (0, 1)], y)


@routine
def rotate_halves(x: int, out: int, pairs: int, cosines: int, sines: int) -> None:
    """Rotate (x[i], x[i + pairs])."""
    for i in range(0, pairs, 16):
        a, b = load_f32x16(x + 4 * i), load_f32x16(x + 4 * (i + pairs))
        cos, sin = load_f32x16(cosines + 4 * i), load_f32x16(sines + 4 * i)
        store_first(out + 4 * i, a * cos - b * sin, pairs - i)
        store_first(out + 4 * (i + pairs), b * cos + a * sin, pairs - i)


@routine
def rotate_neighbours(x: int, out: int, pairs: int, cosines: int, sines: int) -> None:
    """Rotate (x[2i], x[2i + 1])."""
    for i in range(0, pairs, 16):
        low, high = load_f32x16(x + 8 * i), load_f32x16(x + 8 * i + 64)
        a, b = even_lanes(low, high), odd_lanes(low, high)
        cos, sin = load_f32x16(cosines + 4 * i), load_f32x16(sines + 4 * i)
        first, second = a * cos - b * sin, b * cos + a * sin
        store_first(out + 8 * i, mix_low(first, second), 2 * (pairs - i))
        store_first(out + 8 * i + 64, mix_high(first, second), 2 * (pairs - i) - 16)


LAYOUTS = {RopeLayout.NEOX.value: rotate_halves, RopeLayout.NORM.value: rotate_neighbours}


@kernel_family
def rotate(layout: str) -> Any:
    """Rotate heads: rows cell, heads, head width, pairs, x and out with row bytes, rotations with row bytes."""
    turn = LAYOUTS[layout]

    def run(args: int, thread: int, num_threads: int) -> None:
        num_heads, width, pairs = arg(args, 1), arg(args, 2), arg(args, 3)
        x, x_bytes, out, out_bytes = arg(args, 4), arg(args, 5), arg(args, 6), arg(args, 7)
        rotations, rotation_bytes = arg(args, 8), arg(args, 9)
        units = load_i64(arg(args, 0)) * num_heads
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            t, h = unit // num_heads, unit % num_heads
            source, to = x + t * x_bytes + 4 * h * width, out + t * out_bytes + 4 * h * width
            cosines = rotations + t * rotation_bytes
            turn(source, to, pairs, cosines, cosines + rotation_bytes // 2)
            if source != to:
                for c in range(2 * pairs, width, 16):
                    store_first(to + 4 * c, load_f32x16(source + 4 * c), width - c)

    return run


@lowers(Rope)
def lower_rope(lowering: Lowering, op: Rope) -> None:
    """Append a rotation."""
    lowering.call(
        rotate(op.table.layout.value), lowering.num_rows_cell(op.x.rows),
        op.x.width // op.head_width, op.head_width, len(op.table.frequencies),
        lowering.address(op.x), lowering.row_bytes(op.x), lowering.address(op.out), lowering.row_bytes(op.out),
        *rotation_table(lowering, op.table, op.x.rows),
    )  # fmt: skip
