"""The two products of attention, for a few query rows at a time: scores from panels of keys, sums of values.

Keys lie in panels of 16 positions, so sixteen scores are multiply-adds of broadcast query elements, with no sum
across lanes; values lie in rows. Tiles hold their totals in registers. Every total is one chain of multiply-adds in
the order of columns (of keys), whatever the tile: a row gets the same bits in any tile.

Letters: R rows of a tile, K key width.
"""

from __future__ import annotations

from collections.abc import Callable

from jackfield_backends.cpu import float16
from jackfield_backends.cpu.emit import F32, I8, I16, I32, I64, Totals, Value, loop, reserve, vector_of, zeros
from jackfield_backends.cpu.isa import Isa
from jackfield_backends.cpu.kv_layout import PANEL, SCALED
from jackfield_backends.cpu.operation import i64, nothing, operation

__all__ = ["BLOCK", "padded", "pass_rows", "score_tile", "tile_shape", "value_tile"]

BLOCK = 128  # keys between two corrections of the sums
ELEMENT_BYTES = {"f16": 2, "f32": 4, "q8_0": 1}
LINE_BYTES = 64
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
        return {1: 8, 2: 4, 3: 4}.get(rows, 2), {1: 8, 2: 8, 3: 4, 4: 4}.get(rows, 2)
    several = {1: 4, 2: 2}.get(rows, 1)
    return several, several


def _load_elements(at: Value, kind: str) -> Value:
    """Return sixteen elements of the cache as float32, not yet scaled."""
    if kind == "q8_0":
        return at.load(I8, 16).signed(I32).signed(F32)
    return float16.load_half(at, 16) if kind == "f16" else at.load(F32, 16)


def score_tile(rows: int, panels: int, width: int, kind: str) -> Callable[..., None]:
    """Make the product of R query rows and panels of keys.

    Its arguments: queries ``[R][padded(K)]``, where the addresses of the panels are, and of those to fetch early,
    scores with rows of ``BLOCK``.
    """
    step, query_bytes = PANEL * ELEMENT_BYTES[kind], 4 * padded(width)
    places = [(r, p) for r in range(rows) for p in range(panels)]

    def add(totals: Totals, queries: Value, starts: list[Value], ahead: list[Value], count: Value) -> None:
        """Add the products of ``count`` columns."""
        with loop(count) as d:
            keys = [_load_elements(start + d * step, kind) for start in starts]
            for start in ahead:
                (start + d * step).prefetch(level=2)
            for r in range(rows):
                query = (queries + d * 4).load(F32, 1, query_bytes * r).splat(PANEL)
                for p in range(panels):
                    i = r * panels + p
                    totals.set(i, keys[p].fma(query, totals.get(i)))

    def add_scaled(sums: Totals, queries: Value, starts: list[Value], ahead: list[Value]) -> None:
        """Add the products of all columns; those of a scale are summed without it first."""
        groups = -(-width // SCALED)
        with loop(queries.constant(groups)) as group:
            first, scales = group * SCALED, group * (2 * PANEL)
            quants = first * step + groups * (2 * PANEL)
            totals = Totals([zeros(queries.b, F32, PANEL) for _ in places])
            for start in ahead:
                (start + scales).prefetch(level=2)
            here, next_ = ([start + quants for start in some] for some in (starts, ahead))
            add(totals, queries + first * 4, here, next_, _at_most(width - first, SCALED))
            for p in range(panels):
                scale = float16.load_half(starts[p] + scales, PANEL)
                for r in range(rows):
                    i = r * panels + p
                    sums.set(i, totals.get(i).fma(scale, sums.get(i)))

    @operation(nothing, i64, i64, i64, i64)
    def multiply(queries: Value, addresses: Value, addresses_ahead: Value, scores: Value) -> None:
        starts, ahead = (
            [at.load(I64, 1, 8 * p) for p in range(panels)] for at in (addresses, addresses_ahead)
        )
        totals = Totals([zeros(queries.b, F32, PANEL) for _ in places])
        if kind == "q8_0":
            add_scaled(totals, queries, starts, ahead)
        else:
            add(totals, queries, starts, ahead, queries.constant(width))
        for i, (r, p) in enumerate(places):
            scores.store(totals.get(i), 4 * (BLOCK * r + PANEL * p))

    made: Callable[..., None] = multiply
    return made


def padded(width: int) -> int:
    """Return a row's columns, rounded up to whole vectors."""
    return -(-width // PANEL) * PANEL


def _at_most(value: Value, most: int) -> Value:
    return value.compare("<", most).choose(value, most)


def value_tile(rows: int, columns: int, width: int, kind: str) -> Callable[..., None]:
    """Make the product of R rows of weights and values: out = out + p v, for 16 * ``columns`` columns.

    Its arguments: weights with rows of ``BLOCK``, where the addresses of the panels' values are, and of those to fetch
    early, the first column, how many keys, out ``[R][padded(Kv)]``.
    """
    size, out_bytes = ELEMENT_BYTES[kind], 4 * padded(width)
    scale_bytes = -(-width // SCALED) * 2 if kind == "q8_0" else 0
    row_bytes = scale_bytes + size * width
    share_bytes = (
        row_bytes * PANEL * columns // padded(width)
    )  # of a row, fetched while these columns are multiplied
    places = [(r, c) for r in range(rows) for c in range(columns)]

    def scaled_weights(weights: Value, start: Value, first: Value) -> list[Value]:
        """Return where R rows of a panel's weights are, times the scales of each 32 columns."""
        places = []
        for group in range(max(1, columns // 2)):
            at = start + (first >> 5 << 1) + 2 * group
            halves = vector_of([at.load(I16, 1, row_bytes * j) for j in range(PANEL)])
            scales = float16.half_to_float(halves)
            cell = reserve(weights.b, zeros(weights.b, F32, PANEL).type, rows)
            place = weights.new(weights.b.ptrtoint(cell, I64))
            for r in range(rows):
                place.store(weights.load(F32, PANEL, 4 * BLOCK * r) * scales, 4 * PANEL * r)
            places.append(place)
        return places

    @operation(nothing, *[i64] * 6)
    def multiply(
        weights: Value, addresses: Value, addresses_ahead: Value, first: Value, num_keys: Value, out: Value
    ) -> None:
        totals = Totals([out.load(F32, PANEL, out_bytes * r + 64 * c) for r, c in places])
        num_before = first >> columns.bit_length() - 1  # shares of a panel that other columns fetch
        with loop((num_keys + (PANEL - 1)) >> 4) as panel:
            start, ahead = ((at + panel * 8).load(I64) for at in (addresses, addresses_ahead))
            elements, shares = start + scale_bytes + first * size, ahead + num_before * share_bytes
            panel_weights = weights + panel * (4 * PANEL)
            factors, distance = [panel_weights], BLOCK
            if kind == "q8_0":
                factors, distance = scaled_weights(panel_weights, start, first), PANEL
            with loop(_at_most(num_keys - panel * PANEL, PANEL)) as j:
                row, share = elements + j * row_bytes, shares + j * share_bytes
                values = [_load_elements(row + PANEL * size * c, kind) for c in range(columns)]
                for line in range(0, share_bytes, LINE_BYTES):
                    share.prefetch(line, level=2)
                for i, (r, c) in enumerate(places):
                    weight = factors[c // 2 % len(factors)] + j * 4
                    factor = weight.load(F32, 1, 4 * distance * r).splat(PANEL)
                    totals.set(i, values[c].fma(factor, totals.get(i)))
        for i, (r, c) in enumerate(places):
            out.store(totals.get(i), out_bytes * r + 64 * c)

    made: Callable[..., None] = multiply
    return made
