"""Causal attention over paged keys and values, with an online softmax.

    s = scale * q·k;  s = c tanh(s / c) with a softcap;  allowed: p_k <= p_q, and p_q - p_k < W with a window
    out = Σ exp(s - m) v / (Σ exp(s - m) + exp(sink - m))

Kernels count scores, sinks and the softcap in powers of two: all come times log2 e.

Rows of a canvas see all of it; ``Step.sight`` says where each row's sight begins and ends.
Sources: Milakov & Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135; Dao et al. 2023,
"Flash-Decoding for long-context inference".

``attention_tiles.py`` divides the work, ``attention_walk.py`` takes a tile of query rows over a part of its keys with
the products of ``attention_products.py`` and the softmax of ``attention_softmax.py``; here parts become rows.

Parallel over key heads and pieces, taken from a counter, later positions first, and one head after the other: its
tiles find its keys and values in the cache that threads share. Decode reads each key and value that is seen once;
prefill once for a tile. Scores and sums are float32. What a row gets is the same, bit for bit, alone
and in any step, prefilled in any chunks, with any number of threads.
Letters: T rows, H query heads, G key heads, K key width, Kv value width, N positions a page.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jackfield.program.ops import Attend
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.atomic import atomic_add, atomic_store, take
from jackfield_backends.cpu.attention_products import BLOCK, MOST_ROWS, padded, pass_rows
from jackfield_backends.cpu.attention_softmax import SUMS_BYTES, add_part, begin_row
from jackfield_backends.cpu.attention_tiles import (
    ALL,
    COUNT,
    FIRST,
    FIRST_PART,
    HEADER,
    PART,
    PARTS,
    PIECE_BYTES,
    SIZE,
    SLOT,
    TILE,
    TileShape,
    lower_pieces,
    most_part_size,
)
from jackfield_backends.cpu.attention_walk import (
    GROUP,
    MORE,
    VALUE_WIDTH,
    fetch_first,
    find_panels,
    load_queries,
    query_row,
    row_sight,
    state_bytes,
    tile_walk,
)
from jackfield_backends.cpu.fused import can_quantize_output
from jackfield_backends.cpu.kernel import arg, kernel_family, load_i64, routine
from jackfield_backends.cpu.kv_layout import PANEL, kv_layout
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.quantize import BLOCK as BLOCK_COLUMNS
from jackfield_backends.cpu.quantize import quantize_block
from jackfield_backends.cpu.simd import load_f32, load_f32x16, load_i32, store_f32, store_first

__all__ = ["attend"]

F1 = np.float32(1)
LOG2_E = math.log2(math.e)
TILE_BYTES = (
    96 * 1024
)  # queries and state of a tile, to stay in the second cache beside a block of keys and values
MOST_PASSES = 8
(PIECES, SEQUENCES, COUNTER, OUT, OUT_BYTES, SINKS, HEADS, TABLES, TABLE_BYTES, SCRATCH, SLOTS, NUM_SLOTS, SPLITS,
 COPY, NUM_ROWS, COPY_BLOCKS, QUERY_BYTES, STATE_BYTES, PANELS_BYTES) = range(17, 36)  # fmt: skip


@routine
def finish_row(args: int, products: int, share: np.float32, t: int, h: int) -> None:
    """Write a head's output for one row: as rows, quantised, or both."""
    out, place, width = arg(args, OUT), arg(args, COPY), arg(args, VALUE_WIDTH)
    if out:
        at = out + t * arg(args, OUT_BYTES) + 4 * h * width
        for c in range(0, width, 16):
            store_first(at + 4 * c, load_f32x16(products + 4 * c) * share, width - c)
    if place:
        num_rows, blocks = load_i64(arg(args, NUM_ROWS)), arg(args, COPY_BLOCKS)
        for c in range(0, width, BLOCK_COLUMNS):
            first = load_f32x16(products + 4 * c) * share
            second = load_f32x16(products + 4 * c + 64) * share
            quantize_block(first, second, place, num_rows, t, blocks, (h * width + c) // BLOCK_COLUMNS)


@routine
def begin_tile(args: int, tile: int, head: int, num_rows: int, columns: int, state: int) -> None:
    """Begin a tile's sums: with the sinks, if there are any."""
    group, sinks = arg(args, GROUP), arg(args, SINKS)
    products = state + SUMS_BYTES * num_rows
    for r in range(num_rows):
        sums = state + SUMS_BYTES * r
        begin_row(sums, products + 64 * columns * r, columns)
        if sinks:
            sink = load_f32(sinks + 4 * (head * group + query_row(tile, r, group)[1]))
            store_f32(sums, sink * np.float32(LOG2_E))
            store_f32(sums + 4, F1)


@routine
def add_state(state: int, part: int, num_rows: int, columns: int) -> None:
    """Add the state of the next part to that of those before."""
    products = SUMS_BYTES * num_rows
    for r in range(num_rows):
        at, row = SUMS_BYTES * r, products + 64 * columns * r
        add_part(state + at, state + row, part + at, part + row, columns)


@routine
def finish_tile(args: int, tile: int, head: int, num_rows: int, columns: int, state: int) -> None:
    """Write the tile's rows."""
    group = arg(args, GROUP)
    for r in range(load_i32(tile + COUNT)):
        t, i = query_row(tile, r, group)
        share = F1 / load_f32(state + SUMS_BYTES * r + 4)
        products = state + SUMS_BYTES * num_rows + 64 * columns * r
        finish_row(args, products, share, t, head * group + i)


@kernel_family
def attend(small: int, large: int, key_width: int, value_width: int, kind: str) -> Any:
    """Make the kernel that takes ``small`` rows a pass in decode and ``large`` in prefill.

    Its arguments are named here and in ``attention_walk.py``; ``lower_attend`` lists them.
    """
    all_columns = padded(value_width) // 16
    walk_small = tile_walk(small, key_width, value_width, kind)
    walk_large = walk_small if small == large else tile_walk(large, key_width, value_width, kind)

    @routine
    def walk_part(args: int, tile: int, rows: int, part: int, head: int, scratch: int, state: int) -> None:
        """Write the state of one part of a tile; queries are loaded."""
        passes = (load_i32(tile + COUNT) + rows - 1) // rows
        size, end = load_i32(tile + SIZE), row_sight(args, tile, load_i32(tile + COUNT) - 1)[1]
        begin = (load_i32(tile + FIRST_PART) + part) * size
        stop = min(begin + size, end)
        start = max(begin, row_sight(args, tile, 0)[0] // BLOCK * BLOCK)
        sequence = load_i32(arg(args, SEQUENCES) + 4 * load_i32(tile + FIRST))
        table = arg(args, TABLES) + sequence * arg(args, TABLE_BYTES)
        keys = scratch + arg(args, QUERY_BYTES)
        values = keys + arg(args, PANELS_BYTES)
        scores = values + arg(args, PANELS_BYTES)
        find_panels(args, table, head, start, stop, end - 1, keys, values)
        fetch_first(args, (stop - start + PANEL - 1) // PANEL, keys, values)
        if rows == small:
            walk_small(args, tile, passes, start, stop, scratch, state, scores, keys, values)
        else:
            walk_large(args, tile, passes, start, stop, scratch, state, scores, keys, values)

    def run(args: int, thread: int, num_threads: int) -> None:
        pieces, num_heads = arg(args, PIECES), arg(args, HEADS)
        scratch = load_i64(arg(args, SCRATCH)) + thread * load_i64(arg(args, SCRATCH) + 8)
        state = scratch + arg(args, QUERY_BYTES) + 2 * arg(args, PANELS_BYTES) + 4 * BLOCK * large + 64
        one_part = state + arg(args, STATE_BYTES)
        num_pieces = load_i64(pieces)
        while True:
            unit = take(arg(args, COUNTER), 1)
            if unit >= num_pieces * num_heads:
                break
            head, piece = unit // num_pieces, num_pieces - 1 - unit % num_pieces
            tile = pieces + HEADER + PIECE_BYTES * piece
            count, parts = load_i32(tile + COUNT), load_i32(tile + PARTS)
            rows = small if count <= arg(args, GROUP) else large
            num_rows = (count + rows - 1) // rows * rows
            load_queries(args, tile, head, num_rows, scratch)
            begin_tile(args, tile, head, num_rows, all_columns, state)
            first, stop, is_whole = 0, parts, load_i32(tile + PART) == ALL
            if not is_whole:
                first = load_i32(tile + PART)
                stop = first + 1
            row_bytes = SUMS_BYTES + 64 * all_columns
            slots = arg(args, SLOTS) + (head * arg(args, NUM_SLOTS) + load_i32(tile + SLOT)) * row_bytes
            for part in range(first, stop):
                place = one_part if is_whole else slots + part * num_rows * row_bytes
                walk_part(args, tile, rows, part, head, scratch, place)
                if is_whole:
                    add_state(state, place, num_rows, all_columns)
            if not is_whole:
                done = arg(args, SPLITS) + 8 * (load_i32(tile + TILE) * num_heads + head)
                if atomic_add(done, 1) < parts - 1:
                    continue
                atomic_store(done, 0)  # the last to come adds all, in order
                for part in range(parts):
                    add_state(state, slots + part * num_rows * row_bytes, num_rows, all_columns)
            finish_tile(args, tile, head, num_rows, all_columns, state)

    return run


@lowers(Attend)
def lower_attend(lowering: Lowering, op: Attend) -> None:
    """Append attention."""
    cache, limits, tables = op.cache, lowering.limits, lowering.tables
    group, columns, window = op.num_heads // cache.num_kv_heads, -(-cache.value_width // 16), op.window or 0
    at_once = MOST_ROWS[isa.current()]
    row_bytes = 4 * cache.key_width + 2 * state_bytes(1, columns)
    most = at_once * max(1, min(MOST_PASSES, TILE_BYTES // (row_bytes * at_once)))
    shape = TileShape(group, cache.num_kv_heads, at_once, most, state_bytes(1, columns))
    pieces = lower_pieces(lowering, op.q.rows, shape, window)
    place, layout = lowering.cache(cache), kv_layout(cache, limits)
    copy = lowering.output_copy(op.out) if can_quantize_output(op) else None
    query_bytes = 4 * padded(cache.key_width) * (most + at_once)
    tile_state = state_bytes(most + at_once, columns)
    panels_bytes = 8 * (most_part_size(limits.max_context) // PANEL + MORE)
    scratch = query_bytes + 2 * panels_bytes + 4 * BLOCK * at_once + 64 + 2 * tile_state
    lowering.call(
        attend(pass_rows(min(group, most), isa.current()), at_once, cache.key_width, cache.value_width, limits.kv_type),
        tables.origins(op.q.rows), tables.ends(op.q.rows), lowering.address(op.q), lowering.row_bytes(op.q),
        place.keys, place.key_page_bytes, place.values, place.value_page_bytes,
        limits.page_size, cache.key_width, cache.value_width, window, op.scale * LOG2_E, (op.softcap or 0.0) * LOG2_E,
        group, layout.panel.itemsize, layout.row.itemsize,
        pieces.address, tables.sequences(op.q.rows), lowering.counter(),
        lowering.address(op.out) if copy is None else copy.rows, lowering.row_bytes(op.out),
        0 if op.sinks is None else lowering.vector(op.sinks), cache.num_kv_heads,
        tables.page_table, 4 * tables.max_pages, lowering.thread_scratch(scratch),
        pieces.slots, pieces.num_slots, pieces.splits,
        0 if copy is None else copy.place, lowering.num_rows_cell(op.q.rows), op.out.width // BLOCK_COLUMNS,
        query_bytes, tile_state, panels_bytes,
    )  # fmt: skip
