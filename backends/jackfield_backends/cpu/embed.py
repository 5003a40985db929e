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

from jackfield.gguf import BLOCK_FORMATS
from jackfield.program.ops import Embed, SoftEmbed
from jackfield_backends.cpu.atomic import take
from jackfield_backends.cpu.emit import F32, Value
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.kernel import arg, float_arg, kernel_family, load_i64, routine, store_i64
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.operation import i64, nothing, operation
from jackfield_backends.cpu.simd import (
    load_bf16_f32x16,
    load_f16_f32x16,
    load_f32,
    load_f32x16,
    load_i32,
    splat,
    store_f32x16,
    store_first,
)

__all__ = ["PLAIN"]

F0 = np.float32(0)
TILE, STRETCH = 16, 256  # rows and columns of soft_embed whose sums stay in the cache
NO_TOKEN = 1 << 31  # above every id

PLAIN: dict[str, tuple[Callable[[int], Any], int]] = {
    "F32": (load_f32x16, 4),
    "F16": (load_f16_f32x16, 2),
    "BF16": (load_bf16_f32x16, 2),
}
"""Loads of sixteen plain floats, and the bytes of one."""


def unpacker(type_name: str) -> Callable[[int, int], None]:
    """Make a function that writes a block's columns as float32: addresses of the block and of the columns."""
    form = FORMATS[type_name]

    @operation(nothing, i64, i64)
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


@routine
def next_token(tokens: int, count: int) -> int:
    """Return the lowest of the rows' next tokens, ``NO_TOKEN`` when no row has any left."""
    lowest = load_i64(tokens)
    for r in range(1, count):
        lowest = min(lowest, load_i64(tokens + 8 * r))
    return lowest


@kernel_family
def soft_embed(type_name: str) -> Any:
    """Make the kernel of a block format: ``TILE`` rows at a time, so that a token many of them have is unpacked once.

    Its arguments: rows cell, soft cells, table, its row bytes, width, out, its row bytes, scale, counter, scratch.
    Rows have different numbers of entries, so threads take tiles and stretches of columns from the counter.
    """
    unpack, block_columns, block_bytes = _copier(type_name)
    columns = max(block_columns, STRETCH)

    def run(args: int, thread: int, num_threads: int) -> None:
        num_rows, soft, table, table_bytes = load_i64(arg(args, 0)), arg(args, 1), arg(args, 2), arg(args, 3)
        width, out, out_bytes, scale = arg(args, 4), arg(args, 5), arg(args, 6), float_arg(args, 7)
        starts, ids, weights = load_i64(soft), load_i64(soft + 8), load_i64(soft + 16)
        block = load_i64(arg(args, 9)) + thread * load_i64(arg(args, 9) + 8)
        sums = block + 4 * columns
        tokens = sums + 4 * columns * TILE
        places = tokens + 8 * TILE
        num_stretches = (width + columns - 1) // columns
        units = (num_rows + TILE - 1) // TILE * num_stretches
        while True:
            unit = take(arg(args, 8), 1)
            if unit >= units:
                break
            first, low = unit % num_stretches * columns, unit // num_stretches * TILE
            count, stop = min(TILE, num_rows - low), min(first + columns, width)
            for c in range(0, count * columns, 16):
                store_f32x16(sums + 4 * c, splat(F0))
            for r in range(count):
                start = load_i64(starts + 8 * (low + r)) if starts else 0
                has_any = starts and start < load_i64(starts + 8 * (low + r + 1))
                store_i64(places + 8 * r, start)
                store_i64(tokens + 8 * r, load_i32(ids + 4 * start) if has_any else NO_TOKEN)
            token = next_token(tokens, count)
            while token != NO_TOKEN:
                for c in range(first, stop, block_columns):
                    unpack(
                        table + token * table_bytes + c // block_columns * block_bytes,
                        block + 4 * (c - first),
                    )
                for r in range(count):
                    if load_i64(tokens + 8 * r) != token:
                        continue
                    place = load_i64(places + 8 * r)
                    weight, row = load_f32(weights + 4 * place), sums + 4 * columns * r
                    for c in range(0, columns, 16):
                        store_f32x16(
                            row + 4 * c, load_f32x16(row + 4 * c) + load_f32x16(block + 4 * c) * weight
                        )
                    place += 1
                    has_more = place < load_i64(starts + 8 * (low + r + 1))
                    store_i64(places + 8 * r, place)
                    store_i64(tokens + 8 * r, load_i32(ids + 4 * place) if has_more else NO_TOKEN)
                token = next_token(tokens, count)
            for r in range(count):
                for c in range(first, stop, 16):
                    value = load_f32x16(sums + 4 * (columns * r + c - first)) * scale
                    store_first(out + (low + r) * out_bytes + 4 * c, value, width - c)

    return run


@lowers(SoftEmbed)
def lower_soft_embed(lowering: Lowering, op: SoftEmbed) -> None:
    """Append a look-up of mean rows."""
    place = lowering.tensor(op.weight)
    columns = max(256, BLOCK_FORMATS[place.type_name].block_elements)
    lowering.call(
        soft_embed(place.type_name), lowering.num_rows_cell(op.out.rows), lowering.tables.soft_tokens,
        place.address, place.row_bytes, op.out.width, lowering.address(op.out), lowering.row_bytes(op.out),
        op.scale, lowering.counter(), lowering.thread_scratch(4 * columns * (TILE + 1) + 16 * TILE + 64),
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
