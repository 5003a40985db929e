"""Token rows, dequantised from the table in the mapped file.

    embed        out[t] = scale * weight[token[t]]
    soft_embed   out[t] = scale * Σ_i w_i * weight[token_i]      over the entries of row t

Any block format that ``formats`` knows, and the plain floats. Parallel over rows and blocks. A block is unpacked
to scratch and the wanted columns copied, so columns need not begin or end with a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from jackfield.gguf import BLOCK_FORMATS
from jackfield.program.ops import Embed, SoftEmbed
from jackfield_backends.cpu.atomic import take
from jackfield_backends.cpu.emit import F32, Value
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.kernel import arg, float_arg, kernel_family, load_i64, routine
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.simd import (
    load_bf16_f32x16,
    load_f16_f32x16,
    load_f32,
    load_f32x16,
    load_i32,
    operation,
    splat,
    store_f32x16,
    store_first,
)

__all__ = ["PLAIN", "unpacker"]

F0 = np.float32(0)

PLAIN: dict[str, tuple[Callable[[int], Any], int]] = {
    "F32": (load_f32x16, 4),
    "F16": (load_f16_f32x16, 2),
    "BF16": (load_bf16_f32x16, 2),
}
"""Loads of sixteen plain floats, and the bytes of one."""


def unpacker(type_name: str) -> Callable[[int, int], None]:
    """Make a function that writes a block's columns as float32: addresses of the block and of the columns."""
    form = FORMATS[type_name]

    @operation(types.void, types.int64, types.int64)
    def unpack(block: Value, out: Value) -> None:
        scales, minima = form.scales(block)
        for j in range(form.num_sub_blocks):
            quants = form.sub_block(block, j).signed(F32)
            for half in range(2):
                lane = 2 * j + half if form.halves else j
                columns = quants.lanes(range(16 * half, 16 * half + 16)) - float(form.offset)
                value = columns * _lane(scales, lane)
                if minima is not None:
                    value = value + _lane(minima, lane)
                out.store(value, 4 * (32 * j + 16 * half))

    made: Callable[[int, int], None] = unpack
    return made


def _lane(values: Value, lane: int) -> Value:
    return (values.lane(lane) if values.count > 1 else values).splat(16)


def _copier(type_name: str) -> tuple[Callable[[int, int], None], int, int]:
    """Return what writes a block as float32, the block's columns and its bytes; plain floats go by 256."""
    if type_name not in PLAIN:
        form = FORMATS[type_name]
        return unpacker(type_name), form.elements, form.num_bytes
    load, size = PLAIN[type_name]

    @routine
    def copy(block: int, out: int) -> None:
        for i in range(0, 256, 16):
            store_f32x16(out + 4 * i, load(block + size * i))

    return copy, 256, 256 * size


@kernel_family
def embed(type_name: str) -> Any:
    """Make the kernel of a block format.

    Its arguments: rows cell, tokens, table, its row bytes, first column, width, out, its row bytes, scale, scratch.
    """
    unpack, columns, block_bytes = _copier(type_name)

    def run(args: int, thread: int, num_threads: int) -> None:
        tokens, table, table_bytes, start, width = (
            arg(args, 1),
            arg(args, 2),
            arg(args, 3),
            arg(args, 4),
            arg(args, 5),
        )
        out, out_bytes, scale = arg(args, 6), arg(args, 7), float_arg(args, 8)
        scratch = load_i64(arg(args, 9)) + thread * load_i64(arg(args, 9) + 8)
        first, stop = start // columns, (start + width + columns - 1) // columns
        units = load_i64(arg(args, 0)) * (stop - first)
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            t, block = unit // (stop - first), first + unit % (stop - first)
            unpack(table + load_i32(tokens + 4 * t) * table_bytes + block * block_bytes, scratch)
            low, high = max(start, block * columns), min(start + width, (block + 1) * columns)
            for c in range(low, high, 16):
                value = load_f32x16(scratch + 4 * (c - block * columns)) * scale
                store_first(out + t * out_bytes + 4 * (c - start), value, high - c)

    return run


@kernel_family
def soft_embed(type_name: str) -> Any:
    """Make the kernel of a block format: rows have different numbers of entries, so threads take units from a counter.

    Its arguments: rows cell, soft cells, table, its row bytes, width, out, its row bytes, scale, counter, scratch.
    """
    unpack, columns, block_bytes = _copier(type_name)

    def run(args: int, thread: int, num_threads: int) -> None:
        soft, table, table_bytes, width = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4)
        out, out_bytes, scale, counter = arg(args, 5), arg(args, 6), float_arg(args, 7), arg(args, 8)
        starts, ids, weights = load_i64(soft), load_i64(soft + 8), load_i64(soft + 16)
        block = load_i64(arg(args, 9)) + thread * load_i64(arg(args, 9) + 8)
        sums = block + 4 * columns
        num_blocks = (width + columns - 1) // columns
        units = load_i64(arg(args, 0)) * num_blocks
        while True:
            unit = take(counter, 1)
            if unit >= units:
                break
            t, number = unit // num_blocks, unit % num_blocks
            for c in range(0, columns, 16):
                store_f32x16(sums + 4 * c, splat(F0))
            first = load_i64(starts + 8 * t) if starts else 0
            stop = load_i64(starts + 8 * t + 8) if starts else 0
            for i in range(first, stop):
                unpack(table + load_i32(ids + 4 * i) * table_bytes + number * block_bytes, block)
                weight = load_f32(weights + 4 * i)
                for c in range(0, columns, 16):
                    at = sums + 4 * c
                    store_f32x16(at, load_f32x16(at) + load_f32x16(block + 4 * c) * weight)
            start = number * columns
            for c in range(start, min(start + columns, width), 16):
                value = load_f32x16(sums + 4 * (c - start)) * scale
                store_first(out + t * out_bytes + 4 * c, value, width - c)

    return run


@lowers(SoftEmbed)
def lower_soft_embed(lowering: Lowering, op: SoftEmbed) -> None:
    """Append a look-up of mean rows."""
    place = lowering.tensor(op.weight)
    columns = max(256, BLOCK_FORMATS[place.type_name].block_elements)
    lowering.call(
        soft_embed(place.type_name), lowering.num_rows_cell(op.out.rows), lowering.tables.soft_tokens,
        place.address, place.row_bytes, op.out.width, lowering.address(op.out), lowering.row_bytes(op.out),
        op.scale, lowering.counter(), lowering.thread_scratch(8 * columns + 64),
    )  # fmt: skip


@lowers(Embed)
def lower_embed(lowering: Lowering, op: Embed) -> None:
    """Append a look-up."""
    place = lowering.tensor(op.weight)
    columns = max(256, BLOCK_FORMATS[place.type_name].block_elements)
    lowering.call(
        embed(place.type_name), lowering.num_rows_cell(op.out.rows), lowering.tables.tokens,
        place.address, place.row_bytes, op.start, op.out.width,
        lowering.address(op.out), lowering.row_bytes(op.out), op.scale,
        lowering.thread_scratch(4 * columns + 64),
    )  # fmt: skip
