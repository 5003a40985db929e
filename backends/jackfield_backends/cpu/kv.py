"""Write keys and values at their positions; ``kv_layout.py`` says how they lie.

The page of a position is looked up in the step's page table. Parallel over rows and heads; a row's keys are written
with a stride of 16 elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jackfield.program.ops import KvAppend
from jackfield_backends.cpu.kernel import arg, kernel_family, load_i64, routine
from jackfield_backends.cpu.kv_layout import PANEL, SCALED, kv_layout
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.simd import (
    load_f32,
    load_f32x16,
    load_i32,
    store_f16,
    store_f16_f32x16,
    store_f32,
    store_f32x16,
    store_i8,
)

__all__ = ["page_address"]

F0 = np.float32(0)
ELEMENTS = {"f16": (store_f16, store_f16_f32x16, 2), "f32": (store_f32, store_f32x16, 4)}


@routine
def page_address(base: int, page_bytes: int, page_table: int, position: int, page_size: int) -> int:
    """Return where the page of a position begins; ``page_table`` is the sequence's row."""
    page: int = load_i32(page_table + 4 * (position // page_size))
    return base + page_bytes * page


@routine
def quantize_head(x: int, width: int, scales: int, scale_step: int, quants: int, step: int) -> None:
    """Store a head's columns as int8 with a scale for every 32; a NaN makes its scale NaN."""
    for start in range(0, width, SCALED):
        stop = min(start + SCALED, width)
        largest = F0
        for i in range(start, stop):
            size = abs(load_f32(x + 4 * i))
            if size > largest or size != size:
                largest = size
        store_f16(scales + scale_step * (start // SCALED), largest / np.float32(127))
        inverse = np.float32(127) / largest if F0 < largest < np.float32(np.inf) else F0
        for i in range(start, stop):
            quant = np.rint(load_f32(x + 4 * i) * inverse) if inverse != F0 else F0
            store_i8(quants + step * i, np.int64(quant))


def _writers(kind: str) -> tuple[Any, Any]:
    """Return what writes a head's keys to a lane of a panel, and a head's values to a row."""
    if kind == "q8_0":

        @routine
        def scaled_keys(x: int, width: int, panel: int, lane: int) -> None:
            scales = (width + SCALED - 1) // SCALED * 2 * PANEL
            quantize_head(x, width, panel + 2 * lane, 2 * PANEL, panel + scales + lane, PANEL)

        @routine
        def scaled_values(x: int, width: int, to: int) -> None:
            quantize_head(x, width, to, 2, to + (width + SCALED - 1) // SCALED * 2, 1)

        return scaled_keys, scaled_values

    store_one, store_many, size = ELEMENTS[kind]

    @routine
    def plain_keys(x: int, width: int, panel: int, lane: int) -> None:
        for i in range(width):
            store_one(panel + size * (PANEL * i + lane), load_f32(x + 4 * i))

    @routine
    def plain_values(x: int, width: int, to: int) -> None:
        for i in range(0, width & -16, 16):
            store_many(to + size * i, load_f32x16(x + 4 * i))
        for i in range(width & -16, width):
            store_one(to + size * i, load_f32(x + 4 * i))

    return plain_keys, plain_values


@kernel_family
def append(kind: str) -> Any:
    """Make the kernel of a kind of element.

    Its arguments: rows cell, positions, sequences, page table, its row bytes, page size, heads, then for keys and for
    values: address and row bytes of the rows, head width, cache, page bytes, bytes of a panel or row.
    """
    write_keys, write_values = _writers(kind)

    def run(args: int, thread: int, num_threads: int) -> None:
        positions, sequences, tables, table_bytes = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4)
        page_size, num_heads = arg(args, 5), arg(args, 6)
        k, k_bytes, k_width, keys, key_page, panel_bytes = (
            arg(args, 7), arg(args, 8), arg(args, 9), arg(args, 10), arg(args, 11), arg(args, 12)
        )  # fmt: skip
        v, v_bytes, v_width, values, value_page, row_bytes = (
            arg(args, 13), arg(args, 14), arg(args, 15), arg(args, 16), arg(args, 17), arg(args, 18)
        )  # fmt: skip
        units = load_i64(arg(args, 0)) * num_heads
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            t, h = unit // num_heads, unit % num_heads
            position = load_i32(positions + 4 * t)
            table = tables + load_i32(sequences + 4 * t) * table_bytes
            place = h * page_size + position % page_size
            page = page_address(keys, key_page, table, position, page_size)
            panel = page + place // PANEL * panel_bytes
            write_keys(k + t * k_bytes + 4 * h * k_width, k_width, panel, place % PANEL)
            page = page_address(values, value_page, table, position, page_size)
            write_values(v + t * v_bytes + 4 * h * v_width, v_width, page + place * row_bytes)

    return run


@lowers(KvAppend)
def lower_kv_append(lowering: Lowering, op: KvAppend) -> None:
    """Append the writing of keys and values."""
    tables, rows, place = lowering.tables, op.k.rows, lowering.cache(op.cache)
    layout = kv_layout(op.cache, lowering.limits)
    lowering.call(
        append(layout.kind), lowering.num_rows_cell(rows), tables.positions(rows), tables.sequences(rows),
        tables.page_table, 4 * tables.max_pages, lowering.limits.page_size, op.cache.num_kv_heads,
        lowering.address(op.k), lowering.row_bytes(op.k), op.cache.key_width, place.keys, place.key_page_bytes,
        layout.panel.itemsize,
        lowering.address(op.v), lowering.row_bytes(op.v), op.cache.value_width, place.values, place.value_page_bytes,
        layout.row.itemsize,
    )  # fmt: skip
