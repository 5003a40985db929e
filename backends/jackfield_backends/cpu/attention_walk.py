"""One tile of query rows over one part of its keys: block by block, scores, weights, sums of values.

The tile's rows go through a block in passes of R rows; the second and later passes find the block in the cache.
What a tile keeps, its *state*, is one row after the other: the sums (``SUMS_BYTES`` each), then the products.

Letters: R rows of a pass, K key width, Kv value width, N positions a page.
"""

from __future__ import annotations

from collections.abc import Callable

from jackfield_backends.cpu import isa
from jackfield_backends.cpu.attention_products import BLOCK, padded, score_tile, tile_shape, value_tile
from jackfield_backends.cpu.attention_softmax import SUMS_BYTES, begin_row, first_seen, weigh_block
from jackfield_backends.cpu.attention_tiles import COUNT, FIRST, QUERY
from jackfield_backends.cpu.kernel import arg, float_arg, load_i64, routine, store_i64
from jackfield_backends.cpu.kv_layout import PANEL
from jackfield_backends.cpu.simd import load_f32x16, load_i32, prefetch_span, store_f32x16

__all__ = [
    "MORE",
    "fetch_first",
    "find_panels",
    "load_queries",
    "query_row",
    "row_sight",
    "state_bytes",
    "tile_walk",
]

STRETCH = 2  # panels whose values are multiplied, all columns, before the next: to read them in order
AHEAD = 4  # panels between what is multiplied and what is fetched; more where more are multiplied at once
MORE = 16  # panels past the last whose addresses are read

# arguments of the attention kernel that are read here
(ORIGINS, ENDS, Q, Q_BYTES, KEYS, KEY_PAGE, VALUES, VALUE_PAGE, PAGE_SIZE, WIDTH, VALUE_WIDTH, WINDOW, SCALE, SOFTCAP,
 GROUP, PANEL_BYTES, ROW_BYTES) = range(17)  # fmt: skip


def state_bytes(rows: int, columns: int) -> int:
    """Return the bytes of a tile's state; ``columns`` counts vectors of values."""
    return rows * (SUMS_BYTES + 64 * columns)


@routine
def query_row(tile: int, r: int, group: int) -> tuple[int, int]:
    """Return row of the step and place in the group of a tile's row; past the last, of the last."""
    i = load_i32(tile + QUERY) + min(r, load_i32(tile + COUNT) - 1)
    return load_i32(tile + FIRST) + i // group, i % group


@routine
def row_sight(args: int, tile: int, r: int) -> tuple[int, int]:
    """Return the first position that a tile's row sees, and the first it no longer sees."""
    t = query_row(tile, r, arg(args, GROUP))[0]
    start = first_seen(load_i32(arg(args, ORIGINS) + 4 * t), arg(args, WINDOW))
    return start, load_i32(arg(args, ENDS) + 4 * t) + 1


@routine
def load_queries(args: int, tile: int, head: int, num_rows: int, queries: int) -> None:
    """Write the tile's scaled queries, ``[num_rows][padded(K)]``."""
    group, width, scale = arg(args, GROUP), arg(args, WIDTH), float_arg(args, SCALE)
    row_bytes = (width + 15) // 16 * 64
    for r in range(num_rows):
        t, i = query_row(tile, r, group)
        row = arg(args, Q) + t * arg(args, Q_BYTES) + 4 * (head * group + i) * width
        for c in range(0, row_bytes, 64):
            store_f32x16(queries + row_bytes * r + c, load_f32x16(row + c) * scale)


@routine
def find_panels(
    args: int, table: int, head: int, start: int, stop: int, last: int, keys: int, values: int
) -> None:
    """Write where the panels of keys and of values from position ``start`` to ``stop`` lie, and some more.

    Past position ``last``, the last that may be read, the last panel repeats.
    """
    page_size, panel_bytes, row_bytes = arg(args, PAGE_SIZE), arg(args, PANEL_BYTES), arg(args, ROW_BYTES)
    key_page, value_page = arg(args, KEY_PAGE), arg(args, VALUE_PAGE)
    page, offset = start // page_size, start % page_size
    key_panel, value_panel = 0, 0
    for i in range((stop - start + PANEL - 1) // PANEL + MORE):
        if start + PANEL * i <= last:
            if offset == page_size:
                page, offset = page + 1, 0
            place = head * page_size + offset
            number = load_i32(table + 4 * page)
            key_panel = arg(args, KEYS) + key_page * number + place // PANEL * panel_bytes
            value_panel = arg(args, VALUES) + value_page * number + place * row_bytes
            offset += PANEL
        store_i64(keys + 8 * i, key_panel)
        store_i64(values + 8 * i, value_panel)


@routine
def fetch_first(args: int, num_panels: int, keys: int, values: int) -> None:
    """Fetch the panels that a part begins with: no walk before it has."""
    panel_bytes, values_bytes = arg(args, PANEL_BYTES), PANEL * arg(args, ROW_BYTES)
    for i in range(min(num_panels, AHEAD)):
        prefetch_span(load_i64(keys + 8 * i), panel_bytes)
    for i in range(min(num_panels, AHEAD)):
        prefetch_span(load_i64(values + 8 * i), values_bytes)


def tile_walk(rows: int, key_width: int, value_width: int, kind: str) -> Callable[..., None]:
    """Make the walk of a tile, R rows at a time."""
    panels, most_columns = tile_shape(rows, isa.current())
    all_columns = padded(value_width) // 16
    columns = max(c for c in (1, 2, 4, 8) if c <= most_columns and all_columns % c == 0)
    multiply_keys = score_tile(rows, panels, key_width, kind)
    multiply_values = value_tile(rows, columns, value_width, kind)
    query_bytes, product_bytes = 4 * padded(key_width), 64 * all_columns
    ahead = 8 * max(AHEAD, panels)

    @routine
    def walk(
        args: int, tile: int, passes: int, start: int, stop: int, queries: int, state: int, scores: int,
        key_panels: int, value_panels: int,
    ) -> None:  # fmt: skip
        """Write the state of a part, positions ``start`` to ``stop``; the first is a block's."""
        softcap = float_arg(args, SOFTCAP)
        products = state + SUMS_BYTES * rows * passes
        for r in range(rows * passes):
            begin_row(state + SUMS_BYTES * r, products + product_bytes * r, all_columns)
        for block in range(start, stop, BLOCK):
            keys = key_panels + (block - start) // PANEL * 8
            values = value_panels + (block - start) // PANEL * 8
            for n in range(passes):
                first_row, distance = n * rows, ahead if n == 0 else 0
                begin = row_sight(args, tile, first_row)[0] - block
                end = min(row_sight(args, tile, first_row + rows - 1)[1], stop) - block
                if begin >= BLOCK or end <= 0:
                    continue
                seen = max(begin, 0) // PANEL
                first = seen // panels * panels
                num_keys = min(end, BLOCK)
                last = (num_keys + PANEL - 1) // PANEL
                for p in range(first, last, panels):
                    at = keys + 8 * p
                    multiply_keys(
                        queries + query_bytes * first_row, at, at + distance, scores + 4 * PANEL * p
                    )
                for r in range(rows):
                    sees_from, sees_to = row_sight(args, tile, first_row + r)
                    weigh_block(
                        scores + 4 * BLOCK * r, sees_from - block, sees_to - block, first, last, softcap,
                        state + SUMS_BYTES * (first_row + r), products + product_bytes * (first_row + r),
                        all_columns,
                    )  # fmt: skip
                for p in range(seen, last, STRETCH):
                    at = values + 8 * p
                    for c in range(0, all_columns, columns):
                        multiply_values(
                            scores + 4 * PANEL * p, at, at + distance, PANEL * c,
                            min(num_keys - PANEL * p, PANEL * STRETCH),
                            products + product_bytes * first_row + 64 * c,
                        )  # fmt: skip

    made: Callable[..., None] = walk
    return made
