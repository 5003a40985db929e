"""Panels of plain floats: 16 rows of weights unpacked to float32, and the micro-kernel that multiplies them by tiles.

A panel is [chain][column of the chain][16 rows], then the columns of no chain. Tiles of activations are
[tile][chain][column of the chain][``float_tile.tokens``], then those columns: what the micro-kernel reads for a chain
lies together. It has a chain's sums in registers and adds them to the results, which stay in the first-level cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from jackfield_backends.cpu.emit import F32, I32, I64, Totals, Value, constant, join, loop, vector_of, zeros
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.kernel import arg, kernel, kernel_family, load_i64, routine
from jackfield_backends.cpu.linear_float import ELEMENT_BYTES, load_weights, num_chains
from jackfield_backends.cpu.linear_panels import PANEL_ROWS, ROW_PAIRS, transposed
from jackfield_backends.cpu.operation import i64, nothing, operation
from jackfield_backends.cpu.simd import load_f32, store_f32
from jackfield_backends.cpu.tile import TILE, each_pass

__all__ = [
    "float_multiply",
    "float_panel_bytes",
    "float_panels",
    "tile_bytes",
    "tile_row",
    "tiles",
]

COLUMN_BYTES = 4 * PANEL_ROWS


def tile_bytes(width: int, max_rows: int) -> int:
    """Return the bytes of a buffer's tiles."""
    return -(-max_rows // TILE) * TILE * width * 4


def float_panel_bytes(width: int) -> int:
    """Return the bytes of a panel: a line is left out after each chain, so that they do not share cache lines."""
    return COLUMN_BYTES * (width + num_chains())


@operation(i64)
def chains(builder: Any) -> Value:
    """Return ``num_chains()``."""
    return constant(builder, I64, num_chains())


@operation(i64)
def tile_tokens(builder: Any) -> Value:
    """Return how many tokens lie side by side in a tile."""
    return constant(builder, I64, in_force().float_tile.tokens)


# ---- unpacking -----------------------------------------------------------------------------------


@kernel_family
def float_panels(type_name: str) -> Callable[[int, int, int], None]:
    """Unpack sixteen rows to float32: matrix, bytes between rows, columns. Called as ``(args, first row, panel)``."""
    size = ELEMENT_BYTES[type_name]
    eight, one = _unpack_columns(type_name, 8), _unpack_columns(type_name, 1)

    def unpack(args: int, first: int, panel: int) -> None:
        row_bytes, width = arg(args, 1), arg(args, 2)
        weights = arg(args, 0) + first * row_bytes
        whole, step = width // chains() * chains(), COLUMN_BYTES * (width // chains() + 1)
        for k in range(0, whole, 8):
            place = panel + k // chains() * COLUMN_BYTES + k % chains() * step
            eight(weights + size * k, row_bytes, place, step)
        for k in range(whole, width):
            one(weights + size * k, row_bytes, panel + chains() * step + (k - whole) * COLUMN_BYTES, 0)

    return unpack


def _unpack_columns(type_name: str, count: int) -> Callable[[int, int, int, int], None]:
    @operation(nothing, *[i64] * 4)
    def unpack(weights: Value, row_bytes: Value, panel: Value, step: Value) -> None:
        rows = [load_weights(weights + row_bytes * r, type_name, count) for r in range(PANEL_ROWS)]
        if count == 1:
            panel.store(vector_of(rows))
            return
        for r in range(0, PANEL_ROWS, 4):
            (weights + row_bytes * (PANEL_ROWS + r)).prefetch(level=2)
        pairs = [join(rows[i], rows[j]).bits(I32) for i, j in ROW_PAIRS]
        for k, column in enumerate(transposed(pairs)):
            (panel + step * k).store(column)

    return cast("Callable[[int, int, int, int], None]", unpack)


# ---- tiles of activations ------------------------------------------------------------------------


@routine
def tile_row(x: int, width: int, place: int, row: int) -> None:
    """Copy a row to where row ``row`` lies in the tiles at ``place``."""
    size, length = tile_tokens(), width // chains()
    place += 4 * (row // size * size * width + row % size)
    step = 4 * size
    for chain in range(chains()):
        for i in range(length):
            store_f32(place, load_f32(x + 4 * (chains() * i + chain)))
            place += step
    for k in range(length * chains(), width):
        store_f32(place, load_f32(x + 4 * k))
        place += step


@kernel
def tiles(args: int, thread: int, num_threads: int) -> None:
    """Copy a buffer to tiles: rows cell, x, bytes between rows, columns, place, fewest rows for which it is needed."""
    num_rows, x, row_bytes = load_i64(arg(args, 0)), arg(args, 1), arg(args, 2)
    if num_rows < arg(args, 5):
        return
    for row in range(thread * num_rows // num_threads, (thread + 1) * num_rows // num_threads):
        tile_row(x + row * row_bytes, arg(args, 3), arg(args, 4), row)


# ---- multiplying ---------------------------------------------------------------------------------


@kernel
def float_multiply(args: int, panel: int, x: int) -> None:
    """Multiply a panel by the first tokens of tiles: columns, results, tokens.

    Called as ``(args, panel, address of the first tile)``; results are ``[tokens][16]``, and of the last pass those of
    places past the last token too.
    """
    products(panel, arg(args, 0), x, arg(args, 2), arg(args, 1))


@operation(nothing, *[i64] * 5)
def products(panel: Value, width: Value, x: Value, num_tokens: Value, out: Value) -> None:
    """Multiply all rows of a panel."""
    lanes = in_force().float_tile.rows
    with loop(panel.constant(COLUMN_BYTES), step=4 * lanes) as rows:
        _Product(num_tokens, width).write(panel + rows, x, out + rows)


class _Product:
    """Writes the product of some rows of a panel with the first tokens of some tiles."""

    def __init__(self, num_tokens: Value, width: Value) -> None:
        self.num_tokens, self.width, self.tile = num_tokens, width, in_force().float_tile
        self.lanes, self.place_bytes = self.tile.rows, 4 * self.tile.tokens

    def write(self, panel: Value, x: Value, out: Value) -> None:
        """Write the loop over the chains."""
        chains = panel.constant(num_chains())
        length = panel.new(panel.b.udiv(self.width.v, chains.v))
        for t in range(TILE):
            out.store(zeros(panel.b, F32, self.lanes), COLUMN_BYTES * t)
        with loop(chains) as chain:
            at = chain * (length + 1) * COLUMN_BYTES
            self._chain(panel + at, x + chain * length * self.place_bytes, length, out)
        whole = length * chains
        at = (whole + chains) * COLUMN_BYTES
        self._chain(panel + at, x + whole * self.place_bytes, self.width - whole, out)

    def _chain(self, panel: Value, x: Value, count: Value, out: Value) -> None:
        """Add a chain to all results: what is read of the panel for the first tokens stays in the first cache."""
        for size, first in each_pass(self.tile, self.num_tokens):
            totals = Totals([zeros(panel.b, F32, self.lanes)] * size)
            inputs, results = x + self.width * first * 4, out + first * COLUMN_BYTES
            with loop(count) as i:
                weight = (panel + i * COLUMN_BYTES).load(F32, self.lanes)
                values = inputs + i * self.place_bytes
                for t in range(size):
                    value = values.load(F32, 1, 4 * t).splat(self.lanes)
                    totals.set(t, weight.fma(value, totals.get(t)))
            for t, total in enumerate(totals.all()):
                results.store(results.load(F32, self.lanes, COLUMN_BYTES * t) + total, COLUMN_BYTES * t)
