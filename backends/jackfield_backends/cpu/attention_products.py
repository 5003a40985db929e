"""The two products of attention, for a few query rows at a time: scores from panels of keys, sums of values.

Keys lie in panels of 16 positions, so sixteen scores are multiply-adds of broadcast query elements, with no sum
across lanes; values lie in rows. Tiles hold their totals in registers. Every total is one chain of multiply-adds in
the order of columns (of keys), whatever the tile: a row gets the same bits in any tile.

Letters: R rows of a tile, K key width.
"""

from __future__ import annotations

from collections.abc import Callable

from jackfield_backends.cpu import instructions
from jackfield_backends.cpu.emit import F32, I8, I16, I32, I64, Totals, Value, loop, reserve, vector_of, zeros
from jackfield_backends.cpu.isa import Isa
from jackfield_backends.cpu.kv_layout import PANEL, SCALED
from jackfield_backends.cpu.operation import i64, nothing, operation

__all__ = ["BLOCK", "PANELS", "pass_rows", "score_tile", "tile_shape", "value_tile"]

BLOCK = 128  # keys between two corrections of the sums
PANELS = BLOCK // PANEL
ELEMENT_BYTES = {"f16": 2, "f32": 4, "q8_0": 1}
FEW = 4  # rows that read the cache faster than the processor fetches unasked
MOST_ROWS = {Isa.AVX512: 12, Isa.AVX2: 6, Isa.NEON: 6, Isa.PORTABLE: 4}


def pass_rows(rows: int, isa: Isa) -> int:
    """Return how many rows to take at once, in equal passes over ``rows``."""
    passes = -(-rows // MOST_ROWS[isa])
    return -(-rows // passes)


def tile_shape(rows: int, isa: Isa) -> tuple[int, int]:
    """Return panels and columns of 16 that R rows take at once: as many totals as the registers hold.

    With few rows several, or every multiply-add would wait for the one before.
    """
    if isa is Isa.AVX512:
        panels = {1: 8, 2: 4, 3: 4}.get(rows, 2 if rows <= 6 else 1)
        return panels, {1: 8, 2: 8, 3: 4, 4: 4}.get(rows, 2)
    several = {1: 4, 2: 2}.get(rows, 1)
    return several, several


def _load_elements(at: Value, kind: str) -> Value:
    """Return sixteen elements of the cache as float32, not yet scaled."""
    if kind == "q8_0":
        return at.load(I8, 16).signed(I32).signed(F32)
    return instructions.load_half(at, 16) if kind == "f16" else at.load(F32, 16)


def score_tile(rows: int, panels: int, kind: str) -> Callable[..., None]:
    """Make the product of R query rows and panels of keys.

    Its arguments: queries ``[K][R]``, the addresses of the panels and, ``PANELS`` further on, of those to fetch
    early, K, scores with rows of ``BLOCK``.
    """
    step = PANEL * ELEMENT_BYTES[kind]
    places = [(r, p) for r in range(rows) for p in range(panels)]

    def add(totals: Totals, queries: Value, starts: list[Value], ahead: list[Value], count: Value) -> None:
        """Add the products of ``count`` columns."""
        with loop(count) as d:
            keys = [_load_elements(start + d * step, kind) for start in starts]
            for start in ahead:
                (start + d * step).prefetch(level=2)
            for r in range(rows):
                query = (queries + d * (4 * rows)).load(F32, 1, 4 * r).splat(PANEL)
                for p in range(panels):
                    i = r * panels + p
                    totals.set(i, keys[p].fma(query, totals.get(i)))

    def add_scaled(
        sums: Totals, queries: Value, starts: list[Value], ahead: list[Value], width: Value
    ) -> None:
        """Add the products of all columns; those of a scale are summed without it first."""
        groups = (width + (SCALED - 1)) >> 5
        with loop(groups) as group:
            first = group * SCALED
            quants = groups * (2 * PANEL) + first * step
            totals = Totals([zeros(queries.b, F32, PANEL) for _ in places])
            here, next_ = ([start + quants for start in some] for some in (starts, ahead))
            add(totals, queries + first * (4 * rows), here, next_, _at_most(width - first, SCALED))
            for p in range(panels):
                scale = instructions.load_half(starts[p] + group * (2 * PANEL), PANEL)
                for r in range(rows):
                    i = r * panels + p
                    sums.set(i, totals.get(i).fma(scale, sums.get(i)))

    @operation(nothing, i64, i64, i64, i64)
    def multiply(queries: Value, addresses: Value, width: Value, scores: Value) -> None:
        starts = [addresses.load(I64, 1, 8 * p) for p in range(panels)]
        ahead = [addresses.load(I64, 1, 8 * (PANELS + p)) for p in range(panels)]
        totals = Totals([zeros(queries.b, F32, PANEL) for _ in places])
        add_all = add_scaled if kind == "q8_0" else add
        add_all(totals, queries, starts, ahead if rows <= FEW else [], width)
        for i, (r, p) in enumerate(places):
            scores.store(totals.get(i), 4 * (BLOCK * r + PANEL * p))

    made: Callable[..., None] = multiply
    return made


def _at_most(value: Value, most: int) -> Value:
    return value.compare("<", most).choose(value, most)


def value_tile(rows: int, columns: int, all_columns: int, kind: str) -> Callable[..., None]:
    """Make the product of R rows of weights and values: out = shrink * out + p v, for 16 * ``columns`` columns.

    Its arguments: weights with rows of ``BLOCK``, the addresses of the panels' values and, ``PANELS`` further on, of
    those to fetch early, the first column, bytes before the elements of a row (its scales), distance of two rows in
    bytes, keys, what each row of out shrinks by, out with rows of 16 * ``all_columns``.
    """
    size = ELEMENT_BYTES[kind]
    places = [(r, c) for r in range(rows) for c in range(columns)]
    line = max(1, 64 // (PANEL * size))  # vectors of elements in a cache line

    def scaled_weights(weights: Value, start: Value, row_bytes: Value, first: Value) -> list[Value]:
        """Return where R rows of a panel's weights are, times the scales of each 32 columns."""
        places = []
        for group in range(max(1, columns // 2)):
            at = start + (first >> 5 << 1) + 2 * group
            halves = vector_of([(at + row_bytes * j).load(I16) for j in range(PANEL)])
            scales = instructions.half_to_float(halves)
            cell = reserve(weights.b, zeros(weights.b, F32, PANEL).type, rows)
            place = weights.new(weights.b.ptrtoint(cell, I64))
            for r in range(rows):
                place.store(weights.load(F32, PANEL, 4 * BLOCK * r) * scales, 4 * PANEL * r)
            places.append(place)
        return places

    @operation(nothing, *[i64] * 8)
    def multiply(
        weights: Value, addresses: Value, first: Value, scales: Value, row_bytes: Value, num_keys: Value,
        shrinks: Value, out: Value,
    ) -> None:  # fmt: skip
        shrink = [shrinks.load(F32, 1, 4 * r).splat(PANEL) for r in range(rows)]
        totals = Totals([out.load(F32, PANEL, 64 * (all_columns * r + c)) * shrink[r] for r, c in places])
        with loop((num_keys + (PANEL - 1)) >> 4) as panel:
            pair, panel_weights, distance = addresses + panel * 8, weights + panel * (4 * PANEL), BLOCK
            start, ahead = (pair.load(I64, 1, at) + scales + first * size for at in (0, 8 * PANELS))
            factors = [panel_weights]
            if kind == "q8_0":
                factors, distance = scaled_weights(panel_weights, pair.load(I64), row_bytes, first), PANEL
            with loop(_at_most(num_keys - panel * PANEL, PANEL)) as j:
                at = j * row_bytes
                values = [_load_elements(start + at + PANEL * size * c, kind) for c in range(columns)]
                for c in range(0, columns if rows <= FEW else 0, line):
                    (ahead + at).prefetch(PANEL * size * c, level=2)
                for i, (r, c) in enumerate(places):
                    weight = factors[c // 2 % len(factors)] + j * 4
                    factor = weight.load(F32, 1, 4 * distance * r).splat(PANEL)
                    totals.set(i, values[c].fma(factor, totals.get(i)))
        for i, (r, c) in enumerate(places):
            out.store(totals.get(i), 64 * (all_columns * r + c))

    made: Callable[..., None] = multiply
    return made
