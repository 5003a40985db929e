"""Products with weights in F32, F16 or BF16, in float32.

    out[t, r] = Σ_k weight[r, k] * x[t, k]

The same shapes as for block formats: row products for few tokens, panels of 16 rows for more. Nothing is rounded but
the sums, and these have one order everywhere: column k belongs to chain k modulo 16, each chain is added up in
order, the columns past the last sixteen in a chain of their own, and chains are summed by halves. Row products have
the chains in the lanes of a vector. A panel is the rows as float32, [column][16], chain after chain, and so are
the tiles of activations, [tile][column][``TILE``], to which ``tiles`` copies them. K may be any number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from jackfield_backends.cpu.emit import (
    F32,
    I16,
    I32,
    Totals,
    Value,
    join,
    loop,
    stack_bytes,
    summed,
    vector_of,
    zeros,
)
from jackfield_backends.cpu.instructions import in_force, load_half
from jackfield_backends.cpu.kernel import Kernel, arg, kernel, kernel_family, load_i64, routine
from jackfield_backends.cpu.linear_panels import PANEL_ROWS, ROW_PAIRS, transposed
from jackfield_backends.cpu.operation import i64, nothing, operation
from jackfield_backends.cpu.quantize import TILE
from jackfield_backends.cpu.simd import load_f32, store_f32

__all__ = [
    "ELEMENT_BYTES",
    "float_multiply_kernel",
    "float_panel_bytes",
    "float_panels",
    "float_rows",
    "tile_bytes",
    "tile_row",
    "tiles",
]

ELEMENT_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
COLUMN_BYTES = 4 * PANEL_ROWS
PREFETCH = 4096
LANES = 16
MOST_ROWS = 4


def tile_bytes(width: int, max_rows: int) -> int:
    """Return the bytes of a buffer's tiles."""
    return -(-max_rows // TILE) * TILE * width * 4


def float_panel_bytes(width: int) -> int:
    """Return the bytes of a panel: a line is left out after each chain, so that they do not share cache lines."""
    return COLUMN_BYTES * (width + LANES)


def _load(p: Value, type_name: str, count: int, offset: int = 0) -> Value:
    """Read weights as float32."""
    if type_name == "F32":
        return p.load(F32, count, offset)
    if type_name == "F16":
        return load_half(p, count, offset)
    return (p.load(I16, count, offset).unsigned(I32) << 16).bits(F32)


# ---- few tokens ----------------------------------------------------------------------------------


class _RowProducts:
    """Writes the products of rows of weights with some tokens: as many rows at once as have their sums in registers."""

    def __init__(self, type_name: str, num_tokens: int) -> None:
        self.type_name, self.num_tokens = type_name, num_tokens
        self.size = ELEMENT_BYTES[type_name]
        tile = in_force().float_tile
        fit = max(1, tile.rows * tile.tokens // LANES // num_tokens)
        # with one token reading is all, and prefetchers like one row
        self.num_rows = 1 if num_tokens == 1 else next(n for n in (MOST_ROWS, 2, 1) if n <= fit)

    def write(
        self, row: Value, row_bytes: Value, stop: Value, width: Value, x: Value, x_step: Value, out: Value,
        out_step: Value,
    ) -> None:  # fmt: skip
        """Write the loop over the rows from address ``row`` to ``stop``, and the storing of results."""
        inputs = [x + x_step * t for t in range(self.num_tokens)]
        last = stop - row_bytes
        num_rows = row.new(row.b.udiv((stop - row).v, row_bytes.v))
        with loop(num_rows, step=self.num_rows) as r:
            rows = [row + row_bytes * (r + i) for i in range(self.num_rows)]
            inside = [rows[0], *(place.below(last).choose(place, last) for place in rows[1:])]
            self._store(inside, width, inputs, out + r * 4, out_step)

    def _store(
        self, rows: Sequence[Value], width: Value, inputs: Sequence[Value], out: Value, out_step: Value
    ) -> None:
        zero, whole = width.constant(0), width & -LANES
        totals = self._walk(rows, inputs, zero, whole, LANES)
        tails = self._walk(rows, inputs, whole, width, 1)
        for i, (total, tail) in enumerate(zip(totals, tails, strict=True)):
            r, t = divmod(i, self.num_tokens)
            (out + out_step * t).store(total.total() + tail, 4 * r)

    def _walk(
        self, rows: Sequence[Value], inputs: Sequence[Value], start: Value, stop: Value, lanes: int
    ) -> list[Value]:
        """Return each row's sums with each token, over some of the columns."""
        totals = Totals([zeros(start.b, F32, lanes)] * (len(rows) * len(inputs)))
        with loop(stop, start, lanes) as k:
            places = [row + k * self.size for row in rows]
            for place in places if lanes > 1 else ():
                place.prefetch(PREFETCH)
            weights = [_load(place, self.type_name, lanes) for place in places]
            values = [(x + k * 4).load(F32, lanes) for x in inputs]
            pairs = ((weight, value) for weight in weights for value in values)
            for i, (weight, value) in enumerate(pairs):
                totals.set(i, weight.fma(value, totals.get(i)))
        return totals.all()


@kernel_family
def float_rows(type_name: str) -> Callable[[int, int, int], None]:
    """Multiply rows of weights, a few tokens at a time.

    Matrix, bytes between rows, columns, input, results, their step, the input's step, tokens. Called as ``(args, start,
    stop)``; the result of row r and token t goes to ``results[t][r - start]``, where up to ``MOST_ROWS - 1`` more are
    written past the last.
    """
    one, two, three, four = (_row_products(type_name, num_tokens) for num_tokens in (1, 2, 3, 4))

    def multiply(args: int, start: int, stop: int) -> None:
        row_bytes, width, num_tokens = arg(args, 1), arg(args, 2), arg(args, 7)
        step, x_step = arg(args, 5), arg(args, 6)
        num_rows = (
            stop - start if num_tokens <= 3 else MOST_ROWS
        )  # that stay in the first cache for all tokens
        for r in range(start, stop, num_rows):
            first, last = arg(args, 0) + r * row_bytes, arg(args, 0) + min(r + num_rows, stop) * row_bytes
            x, results, left = arg(args, 3), arg(args, 4) + 4 * (r - start), num_tokens
            while left:
                if left == 4:
                    four(first, row_bytes, last, width, x, x_step, results, step)
                    count = 4
                elif left > 2:
                    three(first, row_bytes, last, width, x, x_step, results, step)
                    count = 3
                elif left > 1:
                    two(first, row_bytes, last, width, x, x_step, results, step)
                    count = 2
                else:
                    one(first, row_bytes, last, width, x, x_step, results, step)
                    count = 1
                left -= count
                x += count * x_step
                results += count * step

    return multiply


def _row_products(
    type_name: str, num_tokens: int
) -> Callable[[int, int, int, int, int, int, int, int], None]:
    @operation(nothing, *[i64] * 8)
    def row_products(
        row: Value, row_bytes: Value, stop: Value, width: Value, x: Value, x_step: Value, out: Value, out_step: Value
    ) -> None:  # fmt: skip
        _RowProducts(type_name, num_tokens).write(row, row_bytes, stop, width, x, x_step, out, out_step)

    return cast("Callable[[int, int, int, int, int, int, int, int], None]", row_products)


# ---- panels --------------------------------------------------------------------------------------


@kernel_family
def float_panels(type_name: str) -> Callable[[int, int, int], None]:
    """Unpack sixteen rows to float32: matrix, bytes between rows, columns. Called as ``(args, first row, panel)``."""
    size = ELEMENT_BYTES[type_name]
    eight, one = _unpack_columns(type_name, 8), _unpack_columns(type_name, 1)

    def unpack(args: int, first: int, panel: int) -> None:
        row_bytes, width = arg(args, 1), arg(args, 2)
        weights = arg(args, 0) + first * row_bytes
        whole, step = width & -LANES, COLUMN_BYTES * (width // LANES + 1)
        for k in range(0, whole, 8):
            eight(weights + size * k, row_bytes, panel + k // LANES * COLUMN_BYTES + k % LANES * step, step)
        for k in range(whole, width):
            one(weights + size * k, row_bytes, panel + LANES * step + (k - whole) * COLUMN_BYTES, 0)

    return unpack


def _unpack_columns(type_name: str, count: int) -> Callable[[int, int, int, int], None]:
    @operation(nothing, *[i64] * 4)
    def unpack(weights: Value, row_bytes: Value, panel: Value, step: Value) -> None:
        rows = [_load(weights + row_bytes * r, type_name, count) for r in range(PANEL_ROWS)]
        if count == 1:
            panel.store(vector_of(rows))
            return
        for r in range(0, PANEL_ROWS, 4):
            (weights + row_bytes * (PANEL_ROWS + r)).prefetch(level=2)
        pairs = [join(rows[i], rows[j]).bits(I32) for i, j in ROW_PAIRS]
        for k, column in enumerate(transposed(pairs)):
            (panel + step * k).store(column)

    return cast("Callable[[int, int, int, int], None]", unpack)


@routine
def tile_row(x: int, width: int, place: int) -> None:
    """Copy a row to its slot of a tile; ``place`` is that of its first column."""
    length = width // LANES
    for chain in range(LANES):
        at = place + 4 * TILE * length * chain
        for i in range(length):
            store_f32(at + 4 * TILE * i, load_f32(x + 4 * (LANES * i + chain)))
    for k in range(length * LANES, width):
        store_f32(place + 4 * TILE * k, load_f32(x + 4 * k))


@kernel
def tiles(args: int, thread: int, num_threads: int) -> None:
    """Copy a buffer to tiles: rows cell, x, bytes between rows, columns, place, fewest rows for which it is needed."""
    num_rows, x, row_bytes = load_i64(arg(args, 0)), arg(args, 1), arg(args, 2)
    width, place = arg(args, 3), arg(args, 4)
    if num_rows < arg(args, 5):
        return
    for row in range(thread * num_rows // num_threads, (thread + 1) * num_rows // num_threads):
        tile_row(x + row * row_bytes, width, place + 4 * (row // TILE * TILE * width + row % TILE))


def float_multiply_kernel(num_tokens: int) -> Kernel:
    """Return the micro-kernel for at least the first ``num_tokens`` of a tile."""
    tile = in_force().float_tile
    count = tile.count_for(num_tokens)
    return float_multiply(count, tile.rows, min(tile.tokens, count))


@kernel_family
def float_multiply(num_tokens: int, lanes: int, at_once: int) -> Callable[[int, int, int], None]:
    """Multiply a panel by the first tokens of a tile, ``lanes`` rows and ``at_once`` tokens at once: columns, results.

    Called as ``(args, panel, tile's address)``; results are ``[tokens][16]``.
    """
    product = _product(num_tokens, lanes, at_once)

    def multiply(args: int, panel: int, x: int) -> None:
        for rows in range(0, COLUMN_BYTES, 4 * lanes):
            product(panel + rows, arg(args, 0), x, arg(args, 1) + rows)

    return multiply


class _Product:
    """Writes the product of some rows of a panel with the first tokens of a tile."""

    def __init__(self, panel: Value, num_tokens: int, lanes: int, at_once: int) -> None:
        self.num_tokens, self.lanes, self.at_once = num_tokens, lanes, at_once
        self.sums = stack_bytes(panel, 4 * lanes * num_tokens * (LANES + 1))

    def write(self, panel: Value, width: Value, x: Value, out: Value) -> None:
        """Write the loop over the chains, and the storing of results."""
        length = width.new(panel.b.udiv(width.v, width.constant(LANES).v))
        with loop(panel.constant(LANES)) as chain:
            weights, inputs = panel + chain * ((length + 1) * COLUMN_BYTES), x + chain * (length * (4 * TILE))
            self._chain(chain, weights, inputs, length)
        rest = panel + (length + 1) * (LANES * COLUMN_BYTES), x + length * (LANES * 4 * TILE)
        self._chain(panel.constant(LANES), *rest, width - length * LANES)
        for t in range(self.num_tokens):
            *chains, tail = (
                self._sum(panel.constant(chain)).load(F32, self.lanes, 4 * self.lanes * t)
                for chain in range(LANES + 1)
            )
            out.store(summed(chains) + tail, COLUMN_BYTES * t)

    def _sum(self, chain: Value) -> Value:
        return self.sums + chain * (4 * self.lanes * self.num_tokens)

    def _chain(self, chain: Value, weights: Value, inputs: Value, count: Value) -> None:
        """Add up a chain for all tokens: what is read of the panel for the first stays in the first cache."""
        for first in range(0, self.num_tokens, self.at_once):
            totals = Totals([zeros(chain.b, F32, self.lanes)] * self.at_once)
            with loop(count) as i:
                weight, values = (weights + i * COLUMN_BYTES).load(F32, self.lanes), inputs + i * (4 * TILE)
                for t in range(self.at_once):
                    value = values.load(F32, 1, 4 * (first + t)).splat(self.lanes)
                    totals.set(t, weight.fma(value, totals.get(t)))
            for t, total in enumerate(totals.all()):
                self._sum(chain).store(total, 4 * self.lanes * (first + t))


def _product(num_tokens: int, lanes: int, at_once: int) -> Callable[[int, int, int, int], None]:
    @operation(nothing, *[i64] * 4)
    def product(panel: Value, width: Value, x: Value, out: Value) -> None:
        _Product(panel, num_tokens, lanes, at_once).write(panel, width, x, out)

    return cast("Callable[[int, int, int, int], None]", product)
