"""Causal attention over paged keys and values, with an online softmax.

    s = scale * q·k;  s = c tanh(s / c) with a softcap;  allowed: p_k <= p_q, and p_q - p_k < W with a window
    out = Σ exp(s - m) v / (Σ exp(s - m) + exp(sink - m))

Rows of a canvas see all of it; ``Step.sight`` says where each row's sight begins and ends.
Source: Milakov & Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135.

The query rows of one key head (tokens x group) are cut into tiles. A tile walks its keys in blocks of 128: scores
of R rows and 16 keys at a time from a panel of keys, then R rows times columns of values. Prefill takes the tile
that fills the registers, decode one of as many rows as the group has, and several panels at once, or every
multiply-add would wait for the one before.

Parallel over tiles and key heads, taken from a counter, later positions first. Decode reads each key and value once.
Scores and sums are float32; a masked key weighs nothing, a NaN spreads to its rows.
Letters: T rows, H query heads, G key heads, K key width, Kv value width, R rows of a tile, N positions a page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils

from jackfield.program import Rows
from jackfield.program.ops import Attend
from jackfield_backends.cpu import instructions, isa
from jackfield_backends.cpu.atomic import take
from jackfield_backends.cpu.emit import F32, I8, I32, I64, Value, constant, zeros
from jackfield_backends.cpu.fused import can_quantize_output
from jackfield_backends.cpu.isa import Isa
from jackfield_backends.cpu.kernel import arg, float_arg, kernel, kernel_family, load_i64, routine, store_i64
from jackfield_backends.cpu.kv import page_address
from jackfield_backends.cpu.kv_layout import PANEL, SCALED, kv_layout
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.memory import aligned
from jackfield_backends.cpu.quantize import BLOCK as BLOCK_COLUMNS
from jackfield_backends.cpu.quantize import quantize_block
from jackfield_backends.cpu.simd import (
    exp,
    exp_of,
    f32x16,
    greatest,
    load_f32,
    load_f32x16,
    load_i32,
    maximum,
    operation,
    splat,
    store_f32,
    store_f32x16,
    store_first,
    store_i32,
    tanh,
    total,
)
from jackfield_backends.cpu.table import Call

__all__ = ["tile_shape"]

BLOCK = 128  # keys between two corrections of the sums
PANELS = BLOCK // PANEL
MASKED = np.float32(-1e30)  # not -infinity: the difference of two must be a number
F0, F1 = np.float32(0), np.float32(1)
LARGE_ROWS = {Isa.AVX512: 12, Isa.AVX2: 6, Isa.NEON: 6, Isa.PORTABLE: 4}
TILE_BYTES = 12  # first row of its sequence, first of its query rows, how many: int32 each


def tile_shape(rows: int, wide: bool) -> tuple[int, int]:
    """Return panels and columns of 16 that R rows take at once; ``wide`` with 32 registers of 512 bits."""
    panels = {1: 8, 2: 4, 3: 4}.get(rows, 2 if rows <= 6 else 1)
    columns = {1: 8, 2: 8, 3: 4, 4: 4}.get(rows, 2)
    return (panels, columns) if wide else (max(1, panels // 2), max(1, columns // 2))


# ---- the two products ----------------------------------------------------------------------------


ELEMENT_BYTES = {"f16": 2, "f32": 4, "q8_0": 1}


def load_elements(address: Value, kind: str, offset: int = 0) -> Value:
    """Return sixteen elements of the cache as float32, not yet scaled."""
    at = address + offset if offset else address
    if kind == "q8_0":
        return at.load(I8, 16).signed(I32).signed(F32)
    return instructions.load_half(at, 16) if kind == "f16" else at.load(F32, 16)


class _Totals:
    """Vectors that a loop of generated code adds to; LLVM keeps them in registers."""

    def __init__(self, like: Value, count: int) -> None:
        self._cells = [cgutils.alloca_once(like.b, zeros(like.b, F32, 16).type) for _ in range(count)]
        self._like = like

    def set(self, i: int, value: Value) -> None:
        self._like.b.store(value.v, self._cells[i])

    def get(self, i: int) -> Value:
        return self._like.new(self._like.b.load(self._cells[i]))


def score_tile(rows: int, panels: int, kind: str) -> Callable[..., None]:
    """Make the product of R query rows and panels of keys.

    Its arguments: queries ``[K][R]``, the addresses of the panels, K, scores with rows of ``BLOCK``.
    """
    step = PANEL * ELEMENT_BYTES[kind]

    def load_keys(panel: Value, d: Value, quants: Value) -> Value:
        if kind != "q8_0":
            return load_elements(panel + d * step, kind)
        return load_elements(panel + quants + d * step, kind) * instructions.load_half(
            panel + (d >> 5 << 5), 16
        )

    @operation(types.void, types.int64, types.int64, types.int64, types.int64)
    def multiply(queries: Value, addresses: Value, width: Value, scores: Value) -> None:
        totals = _Totals(queries, rows * panels)
        for i in range(rows * panels):
            totals.set(i, zeros(queries.b, F32, 16))
        starts = [addresses.load(I64, 1, 8 * p) for p in range(panels)]
        quants = width + (SCALED - 1) >> 5 << 5  # behind the scales: 16 of float16 for every 32 columns
        with cgutils.for_range(queries.b, width.v) as loop:
            d = queries.new(loop.index)
            keys = [load_keys(start, d, quants) for start in starts]
            at = queries + d * (4 * rows)
            for r in range(rows):
                query = at.load(F32, 1, 4 * r).splat(16)
                for p in range(panels):
                    i = r * panels + p
                    totals.set(i, keys[p].fma(query, totals.get(i)))
        for r in range(rows):
            for p in range(panels):
                scores.store(totals.get(r * panels + p), 4 * (BLOCK * r + PANEL * p))

    made: Callable[..., None] = multiply
    return made


def value_tile(rows: int, columns: int, all_columns: int, kind: str) -> Callable[..., None]:
    """Make the product of R rows of weights and values: out += p v, for 16 * ``columns`` columns.

    Its arguments: weights with rows of ``BLOCK``, the addresses of the panels' values, the first column, bytes before
    the elements of a row (its scales), distance of two rows in bytes, keys, out with rows of 16 * ``all_columns``.
    """
    size = ELEMENT_BYTES[kind]

    def load_values(row: Value, first: Value, scales: Value, c: int) -> Value:
        values = load_elements(row + scales + first * size, kind, PANEL * size * c)
        if kind != "q8_0":
            return values
        return values * instructions.load_half(row + (first + PANEL * c >> 5 << 1), 1).splat(16)

    @operation(types.void, *[types.int64] * 7)
    def multiply(
        weights: Value,
        addresses: Value,
        first: Value,
        scales: Value,
        row_bytes: Value,
        num_keys: Value,
        out: Value,
    ) -> None:
        totals = _Totals(weights, rows * columns)
        places = [(r, c, 64 * (all_columns * r + c)) for r in range(rows) for c in range(columns)]
        for i, (_, _, place) in enumerate(places):
            totals.set(i, out.load(F32, 16, place))
        with cgutils.for_range(weights.b, num_keys.v) as loop:
            j = weights.new(loop.index)
            row = (addresses + (j >> 4 << 3)).load(I64) + (j & (PANEL - 1)) * row_bytes
            values = [load_values(row, first, scales, c) for c in range(columns)]
            for i, (r, c, _) in enumerate(places):
                weight = (weights + (j << 2)).load(F32, 1, 4 * BLOCK * r).splat(16)
                totals.set(i, values[c].fma(weight, totals.get(i)))
        for i, (_, _, place) in enumerate(places):
            out.store(totals.get(i), place)

    made: Callable[..., None] = multiply
    return made


# ---- softmax of a block --------------------------------------------------------------------------


@operation(f32x16, f32x16, types.int64, types.int64)
def keep_between(value: Value, start: Value, stop: Value) -> Value:
    """Keep lanes from ``start`` to ``stop``, mask the others."""
    numbers = constant(value.b, I32, list(range(16)), 16)
    late = numbers.compare("<", stop.signed(I32).splat(16))
    early = numbers.compare("<", start.signed(I32).splat(16))
    kept = late.choose(value, float(MASKED))
    return early.choose(kept.constant(float(MASKED)), kept)


@operation(types.float32, types.float32)
def exp_one(x: Value) -> Value:
    """Return e^x of one number, the same as of a vector's lane."""
    return exp_of(x)


@routine
def weigh_block(
    scores: int, start: int, stop: int, panels: int, softcap: np.float32, sums: int
) -> np.float32:
    """Turn a row of scores into weights relative to the row's maximum so far; return what old sums shrink by.

    Keys before ``start`` and from ``stop`` on are masked. ``sums`` holds the maximum and the sum of weights.
    """
    top = splat(load_f32(sums))
    for p in range(panels):
        value = load_f32x16(scores + 64 * p)
        if softcap != F0:
            value = tanh(value / softcap) * softcap
        value = keep_between(value, start - PANEL * p, stop - PANEL * p)
        store_f32x16(scores + 64 * p, value)
        top = maximum(top, value)
    old, new = load_f32(sums), greatest(top)
    weights = splat(F0)
    for p in range(panels):
        weight = exp(load_f32x16(scores + 64 * p) - splat(new))
        store_f32x16(scores + 64 * p, weight)
        weights = weights + weight
    shrink: np.float32 = exp_one(old - new)
    store_f32(sums, new)
    store_f32(sums + 4, load_f32(sums + 4) * shrink + total(weights))
    return shrink


@routine
def finish_row(args: int, products: int, share: np.float32, t: int, h: int, width: int) -> None:
    """Write a head's output for one row: as rows, quantised, or both."""
    out, out_row, place = arg(args, 6), arg(args, 7), arg(args, 24)
    if out:
        at = out + t * out_row + 4 * h * width
        for c in range(0, width, 16):
            store_first(at + 4 * c, load_f32x16(products + 4 * c) * share, width - c)
    if place:
        num_rows, blocks = load_i64(arg(args, 25)), arg(args, 26)
        for c in range(0, width, BLOCK_COLUMNS):
            first = load_f32x16(products + 4 * c) * share
            second = load_f32x16(products + 4 * c + 64) * share
            quantize_block(first, second, place, num_rows, t, blocks, (h * width + c) // BLOCK_COLUMNS)


# ---- a tile --------------------------------------------------------------------------------------


def walk_tile(rows: int, all_columns: int, kind: str) -> Callable[..., None]:
    """Make the walk of R query rows over their keys; the columns of values are padded to 16 * ``all_columns``."""
    panels, most = tile_shape(rows, isa.current() is Isa.AVX512)
    columns = max(c for c in range(1, most + 1) if all_columns % c == 0)
    multiply_keys = score_tile(rows, panels, kind)
    multiply_values = value_tile(rows, columns, all_columns, kind)
    out_bytes = 64 * all_columns
    scale_bytes = 2 if kind == "q8_0" else 0

    @routine
    def walk(
        args: int, first: int, query: int, count: int, head: int, group: int, queries: int, table: int
    ) -> None:
        q, q_bytes = arg(args, 4), arg(args, 5)
        keys, key_page, values, value_page = arg(args, 8), arg(args, 9), arg(args, 10), arg(args, 11)
        page_size, width, value_width, window = arg(args, 12), arg(args, 13), arg(args, 14), arg(args, 15)
        panel_bytes, row_bytes = arg(args, 27), arg(args, 28)
        scales = (value_width + SCALED - 1) // SCALED * scale_bytes
        ends, sinks, scale, softcap = arg(args, 1), arg(args, 16), float_arg(args, 17), float_arg(args, 18)
        origins = arg(args, 29)
        sums = queries + 4 * width * rows
        scores = sums + 64 * rows
        products = scores + 4 * BLOCK * rows
        key_panels = products + out_bytes * rows
        value_panels = key_panels + 8 * 2 * PANELS
        for r in range(rows):
            i = query + min(r, count - 1)
            t, h = first + i // group, head * group + i % group
            row = q + t * q_bytes + 4 * h * width
            for d in range(width):
                store_f32(queries + 4 * (d * rows + r), load_f32(row + 4 * d) * scale)
            for c in range(all_columns):
                store_f32x16(products + out_bytes * r + 64 * c, splat(F0))
            store_f32(sums + 64 * r, load_f32(sinks + 4 * h) if sinks else MASKED)
            store_f32(sums + 64 * r + 4, F1 if sinks else F0)
        low = load_i32(origins + 4 * (first + query // group))
        high = load_i32(ends + 4 * (first + (query + count - 1) // group))
        start = max(0, low - window + 1) // PANEL * PANEL if window else 0
        for block in range(start, high + 1, BLOCK):
            num_keys = min(BLOCK, high + 1 - block)
            num_panels = (num_keys + PANEL - 1) // PANEL
            for p in range((num_panels + panels - 1) // panels * panels):
                position = block + PANEL * min(p, num_panels - 1)
                place = head * page_size + position % page_size
                page = page_address(keys, key_page, table, position, page_size)
                store_i64(key_panels + 8 * p, page + place // PANEL * panel_bytes)
                page = page_address(values, value_page, table, position, page_size)
                store_i64(value_panels + 8 * p, page + place * row_bytes)
            for p in range(0, num_panels, panels):
                multiply_keys(queries, key_panels + 8 * p, width, scores + 64 * p)
            for r in range(rows):
                t = first + (query + min(r, count - 1)) // group
                begin = load_i32(origins + 4 * t) - window + 1 - block if window else 0
                end = load_i32(ends + 4 * t) + 1 - block
                shrink = weigh_block(scores + 4 * BLOCK * r, begin, end, num_panels, softcap, sums + 64 * r)
                if shrink != F1:
                    for c in range(all_columns):
                        at = products + out_bytes * r + 64 * c
                        store_f32x16(at, load_f32x16(at) * shrink)
            for c in range(0, all_columns, columns):
                multiply_values(
                    scores, value_panels, PANEL * c, scales, row_bytes, num_keys, products + 64 * c
                )
        for r in range(count):
            i = query + r
            t, h = first + i // group, head * group + i % group
            share = F1 / load_f32(sums + 64 * r + 4)
            finish_row(args, products + out_bytes * r, share, t, h, value_width)

    made: Callable[..., None] = walk
    return made


@kernel_family
def attend(small: int, large: int, all_columns: int, kind: str) -> Any:
    """Make the kernel of a pair of tile sizes.

    Its arguments: tiles, last positions seen, sequences, counter, then as ``walk_tile`` reads them, heads, group,
    page table, its row bytes, scratch, place of the quantised output or 0, rows cell, blocks of 32 columns a row,
    bytes of a panel and of a row of the cache, positions that windows are measured from. ``tiles`` is the address of
    their number and, 64 bytes on, of the tiles.
    """
    walk_small = walk_tile(small, all_columns, kind)
    walk_large = walk_tile(large, all_columns, kind)

    def run(args: int, thread: int, num_threads: int) -> None:
        tiles, sequences, counter = arg(args, 0), arg(args, 2), arg(args, 3)
        num_heads, group, tables, table_bytes = arg(args, 19), arg(args, 20), arg(args, 21), arg(args, 22)
        scratch = load_i64(arg(args, 23)) + thread * load_i64(arg(args, 23) + 8)
        num_tiles = load_i64(tiles)
        while True:
            unit = take(counter, 1)
            if unit >= num_tiles * num_heads:
                break
            at = tiles + 64 + TILE_BYTES * (num_tiles - 1 - unit // num_heads)
            first, query, count = load_i32(at), load_i32(at + 4), load_i32(at + 8)
            table = tables + load_i32(sequences + 4 * first) * table_bytes
            if count <= small:
                walk_small(args, first, query, count, unit % num_heads, group, scratch, table)
            else:
                walk_large(args, first, query, count, unit % num_heads, group, scratch, table)

    return run


# ---- tiles ---------------------------------------------------------------------------------------


@kernel
def cut_tiles(args: int, thread: int, num_threads: int) -> None:
    """Cut each sequence's query rows into tiles: rows cell, sequences, group, rows of a tile, tiles."""
    if thread != 0:
        return
    num_rows, sequences, group, large, tiles = (
        load_i64(arg(args, 0)), arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4)
    )  # fmt: skip
    count, first = 0, 0
    while first < num_rows:
        stop = first + 1
        while stop < num_rows and load_i32(sequences + 4 * stop) == load_i32(sequences + 4 * first):
            stop += 1
        queries = (stop - first) * group
        for query in range(0, queries, large):
            at = tiles + 64 + TILE_BYTES * count
            store_i32(at, first)
            store_i32(at + 4, query)
            store_i32(at + 8, min(large, queries - query))
            count += 1
        first = stop
    store_i64(tiles, count)


def _tiles(lowering: Lowering, rows: Rows, group: int, large: int) -> int:
    def prepare() -> tuple[Call, int]:
        most = lowering.max_rows(rows) * (-(-group // large))
        tiles = lowering.memory(64 + TILE_BYTES * most, "attention tiles")
        tables = lowering.tables
        call = Call(cut_tiles, (tables.num_rows(rows), tables.sequences(rows), group, large, tiles))
        return call, tiles

    address: int = lowering.once_a_step(("tiles", rows, group, large), prepare)
    return address


@lowers(Attend)
def lower_attend(lowering: Lowering, op: Attend) -> None:
    """Append attention."""
    cache, limits, tables = op.cache, lowering.limits, lowering.tables
    group = op.num_heads // cache.num_kv_heads
    large = LARGE_ROWS[isa.current()]
    small = min(group, large)
    all_columns = -(-cache.value_width // 16)
    place = lowering.cache(cache)
    layout = kv_layout(cache, limits)
    copy = lowering.output_copy(op.out) if can_quantize_output(op) else None
    scratch = 4 * cache.key_width * large + (64 + 4 * BLOCK + 64 * all_columns) * large + 8 * 4 * PANELS
    lowering.call(
        attend(small, large, all_columns, limits.kv_type),
        _tiles(lowering, op.q.rows, group, large), tables.ends(op.q.rows), tables.sequences(op.q.rows),
        lowering.counter(),
        lowering.address(op.q), lowering.row_bytes(op.q),
        lowering.address(op.out) if copy is None else copy.rows, lowering.row_bytes(op.out),
        place.keys, place.key_page_bytes, place.values, place.value_page_bytes,
        limits.page_size, cache.key_width, cache.value_width, op.window or 0,
        0 if op.sinks is None else lowering.vector(op.sinks), op.scale, op.softcap or 0.0,
        cache.num_kv_heads, group, tables.page_table, 4 * tables.max_pages,
        lowering.thread_scratch(aligned(scratch)),
        0 if copy is None else copy.place, lowering.num_rows_cell(op.q.rows), op.out.width // BLOCK_COLUMNS,
        layout.panel.itemsize, layout.row.itemsize, tables.origins(op.q.rows),
    )  # fmt: skip
