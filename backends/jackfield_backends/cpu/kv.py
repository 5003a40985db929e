"""Keys and values of past positions, in pages.

A page of one layer holds N positions (a multiple of 16) of all G heads:

    keys    [G][N / 16][K][16]    panels of 16 positions: a score needs no sum across lanes
    values  [G][N][Kv]            rows

Elements are float16 or float32. The page of a position is looked up in the step's page table.
Parallel over rows and heads; a row's keys are written with a stride of 16 elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jackfield.backend import Limits
from jackfield.program import KvCache
from jackfield.program.ops import KvAppend
from jackfield_backends.cpu.kernel import arg, kernel_family, load_i64, routine
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.memory import aligned
from jackfield_backends.cpu.simd import (
    load_f32,
    load_f32x16,
    load_i32,
    store_f16,
    store_f16_f32x16,
    store_f32,
    store_f32x16,
)

__all__ = ["ELEMENT_BYTES", "PANEL", "KvShape", "kv_shape", "page_address"]

PANEL = 16
ELEMENT_BYTES: Mapping[str, int] = {"f16": 2, "f32": 4}


@dataclass(frozen=True)
class KvShape:
    """The bytes of one layer's pages."""

    cache: KvCache
    page_size: int
    element_bytes: int

    @property
    def key_head_bytes(self) -> int:
        """Keys of one head in a page."""
        return self.page_size * self.cache.key_width * self.element_bytes

    @property
    def value_head_bytes(self) -> int:
        """Values of one head in a page."""
        return self.page_size * self.cache.value_width * self.element_bytes

    @property
    def key_page_bytes(self) -> int:
        """Keys of a page."""
        return aligned(self.cache.num_kv_heads * self.key_head_bytes)

    @property
    def value_page_bytes(self) -> int:
        """Values of a page."""
        return aligned(self.cache.num_kv_heads * self.value_head_bytes)

    @property
    def page_bytes(self) -> int:
        """Keys and values of a page."""
        return self.key_page_bytes + self.value_page_bytes


def kv_shape(cache: KvCache, limits: Limits) -> KvShape:
    """Return how a layer is stored."""
    return KvShape(cache, limits.page_size, ELEMENT_BYTES[limits.kv_type])


@routine
def page_address(base: int, page_bytes: int, page_table: int, position: int, page_size: int) -> int:
    """Return where the page of a position begins; ``page_table`` is the sequence's row."""
    page: int = load_i32(page_table + 4 * (position // page_size))
    return base + page_bytes * page


@kernel_family
def append(kind: str) -> Any:
    """Make the kernel of a kind of element.

    Its arguments: rows cell, positions, sequences, page table, its row bytes, page size, heads, then for keys and
    for values: address and row bytes of the rows, head width, cache, page bytes.
    """
    size = ELEMENT_BYTES[kind]
    store_one = {"f16": store_f16, "f32": store_f32}[kind]
    store_many = {"f16": store_f16_f32x16, "f32": store_f32x16}[kind]

    def run(args: int, thread: int, num_threads: int) -> None:
        positions, sequences, tables, table_bytes = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4)
        page_size, num_heads = arg(args, 5), arg(args, 6)
        k, k_bytes, k_width, keys, key_page = (
            arg(args, 7),
            arg(args, 8),
            arg(args, 9),
            arg(args, 10),
            arg(args, 11),
        )
        v, v_bytes, v_width, values, value_page = (
            arg(args, 12), arg(args, 13), arg(args, 14), arg(args, 15), arg(args, 16)
        )  # fmt: skip
        units = load_i64(arg(args, 0)) * num_heads
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            t, h = unit // num_heads, unit % num_heads
            position = load_i32(positions + 4 * t)
            table = tables + load_i32(sequences + 4 * t) * table_bytes
            place = position % page_size
            to = page_address(keys, key_page, table, position, page_size)
            to += size * ((h * page_size + place // PANEL * PANEL) * k_width + place % PANEL)
            row = k + t * k_bytes + 4 * h * k_width
            for i in range(k_width):
                store_one(to + size * PANEL * i, load_f32(row + 4 * i))
            to = page_address(values, value_page, table, position, page_size)
            to += size * (h * page_size + place) * v_width
            row = v + t * v_bytes + 4 * h * v_width
            for i in range(0, v_width & -16, 16):
                store_many(to + size * i, load_f32x16(row + 4 * i))
            for i in range(v_width & -16, v_width):
                store_one(to + size * i, load_f32(row + 4 * i))

    return run


@lowers(KvAppend)
def lower_kv_append(lowering: Lowering, op: KvAppend) -> None:
    """Append the writing of keys and values."""
    tables, rows, place = lowering.tables, op.k.rows, lowering.cache(op.cache)
    lowering.call(
        append(lowering.limits.kv_type), lowering.num_rows_cell(rows), tables.positions(rows), tables.sequences(rows),
        tables.page_table, 4 * tables.max_pages, lowering.limits.page_size, op.cache.num_kv_heads,
        lowering.address(op.k), lowering.row_bytes(op.k), op.cache.key_width, place.keys, place.key_page_bytes,
        lowering.address(op.v), lowering.row_bytes(op.v), op.cache.value_width, place.values, place.value_page_bytes,
    )  # fmt: skip
