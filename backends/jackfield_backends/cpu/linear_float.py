"""Products with weights in F32, F16 or BF16, in float32.

    out[t, r] = Σ_k weight[r, k] * x[t, k]

The same shapes as for block formats: row products for few tokens, panels of 16 rows for more. A panel is the rows
as float32, [k][16], and needs its activations in tiles too: ``tiles`` copies them to [tile][k][``TILE``]. K may be any
number. Nothing is rounded but the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from jackfield_backends.cpu.emit import F32, I16, I32, Value, join, lanes_of, loop, reserve, vector_of, zeros
from jackfield_backends.cpu.instructions import in_force, load_half
from jackfield_backends.cpu.kernel import Kernel, arg, kernel, kernel_family, load_i64, routine
from jackfield_backends.cpu.linear_panels import PANEL_ROWS, ROW_PAIRS, transposed
from jackfield_backends.cpu.operation import i64, nothing, operation
from jackfield_backends.cpu.quantize import QUAD, TILE
from jackfield_backends.cpu.simd import load_f32, store_f32

__all__ = [
    "ELEMENT_BYTES",
    "FLOAT_RECORD_BYTES",
    "float_multiply_kernel",
    "float_panels",
    "float_row_kernel",
    "float_rows",
    "tile_bytes",
    "tile_row",
    "tiles",
]

ELEMENT_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
FLOAT_RECORD_BYTES = 4 * PANEL_ROWS  # of a panel, a column
PREFETCH = 4096
LANES = 16
CHAINS = 4  # additions under way at once in a row product of one token


def tile_bytes(width: int, max_rows: int) -> int:
    """Return the bytes of a buffer's tiles."""
    return -(-max_rows // TILE) * TILE * width * 4


def _load(p: Value, type_name: str, count: int, offset: int = 0) -> Value:
    """Read weights as float32."""
    if type_name == "F32":
        return p.load(F32, count, offset)
    if type_name == "F16":
        return load_half(p, count, offset)
    return (p.load(I16, count, offset).unsigned(I32) << 16).bits(F32)


# ---- few tokens ----------------------------------------------------------------------------------


class _RowProduct:
    """Writes the product of one row of weights with some tokens."""

    def __init__(self, type_name: str, num_tokens: int) -> None:
        self.type_name, self.num_tokens = type_name, num_tokens
        self.num_chains = max(1, CHAINS // num_tokens)
        self.size = ELEMENT_BYTES[type_name]

    def write(self, row: Value, width: Value, x: Value, x_step: Value, out: Value, out_step: Value) -> None:
        builder = row.b
        chains = [[_cell(builder, LANES) for _ in range(self.num_chains)] for _ in range(self.num_tokens)]
        tails = [_cell(builder, 1) for _ in range(self.num_tokens)]
        inputs = [x + x_step * t for t in range(self.num_tokens)]
        step = LANES * self.num_chains
        whole = width.new(builder.and_(width.v, width.constant(-step).v))
        vectors = width.new(builder.and_(width.v, width.constant(-LANES).v))
        self._walk(row, inputs, chains, zeros(builder, width.element, 1), whole, LANES)
        if self.num_chains > 1:
            self._walk(row, inputs, [chain[:1] for chain in chains], whole, vectors, LANES)
        self._walk(row, inputs, [[tail] for tail in tails], vectors, width, 1)
        for t in range(self.num_tokens):
            values = [row.new(builder.load(cell)) for cell in chains[t]]
            while len(values) > 1:
                values = [a + b for a, b in zip(values[::2], values[1::2], strict=True)]
            (out + out_step * t).store(values[0].total() + row.new(builder.load(tails[t])))

    def _walk(
        self,
        row: Value,
        inputs: Sequence[Value],
        cells: Sequence[Sequence[Any]],
        start: Value,
        stop: Value,
        lanes: int,
    ) -> None:
        with loop(stop, start, lanes * len(cells[0])) as k:
            p = row + k * self.size
            for line in range(0, lanes * len(cells[0]) * self.size, 64) if lanes > 1 else ():
                p.prefetch(PREFETCH + line)
            for chain in range(len(cells[0])):
                weight = _load(p, self.type_name, lanes, chain * lanes * self.size)
                for t, x in enumerate(inputs):
                    value = (x + k * 4).load(F32, lanes, 4 * chain * lanes)
                    _add(cells[t][chain], weight.fma(value, row.new(row.b.load(cells[t][chain]))))


def _cell(builder: Any, count: int) -> Any:
    cell = reserve(builder, lanes_of(F32, count))
    builder.store(zeros(builder, F32, count).v, cell)
    return cell


def _add(cell: Any, total: Value) -> None:
    total.b.store(total.v, cell)


def float_row_kernel(type_name: str, num_tokens: int) -> Kernel:
    """Return the row products for that many tokens: all at once if their totals fit the registers, else a quad."""
    fits = num_tokens <= in_force().float_tile.tokens
    return float_rows(type_name, num_tokens, num_tokens if fits else QUAD)


@kernel_family
def float_rows(type_name: str, num_tokens: int, at_once: int) -> Callable[[int, int, int], None]:
    """Multiply rows of weights: matrix, bytes between rows, columns, input, results, their step, the input's step.

    Goes over each row for ``at_once`` tokens after the other. Reads rows of the input past the last, up to
    ``num_tokens``. Called as ``(args, start, stop)``; the result of
    row r and token t goes to ``results[t][r - start]``.
    """
    row_product = _row_product(type_name, at_once)

    def multiply(args: int, start: int, stop: int) -> None:
        row_bytes, results = arg(args, 1), arg(args, 4)
        weights = arg(args, 0) + start * row_bytes
        width, x, step, x_step = arg(args, 2), arg(args, 3), arg(args, 5), arg(args, 6)
        for r in range(stop - start):
            for t in range(0, num_tokens, at_once):
                out = results + 4 * r + t * step
                row_product(weights + r * row_bytes, width, x + t * x_step, x_step, out, step)

    return multiply


def _row_product(type_name: str, num_tokens: int) -> Callable[[int, int, int, int, int, int], None]:
    @operation(nothing, *[i64] * 6)
    def row_product(row: Value, width: Value, x: Value, x_step: Value, out: Value, out_step: Value) -> None:
        _RowProduct(type_name, num_tokens).write(row, width, x, x_step, out, out_step)

    return cast("Callable[[int, int, int, int, int, int], None]", row_product)


# ---- panels --------------------------------------------------------------------------------------


@kernel_family
def float_panels(type_name: str) -> Callable[[int, int, int], None]:
    """Unpack sixteen rows to float32: matrix, bytes between rows, columns. Called as ``(args, first row, panel)``."""
    size = ELEMENT_BYTES[type_name]
    eight, one = _unpack_columns(type_name, 8), _unpack_columns(type_name, 1)

    def unpack(args: int, first: int, panel: int) -> None:
        row_bytes, width = arg(args, 1), arg(args, 2)
        weights = arg(args, 0) + first * row_bytes
        whole = width & -8
        for k in range(0, whole, 8):
            eight(weights + size * k, row_bytes, panel + 64 * k)
        for k in range(whole, width):
            one(weights + size * k, row_bytes, panel + 64 * k)

    return unpack


def _unpack_columns(type_name: str, count: int) -> Callable[[int, int, int], None]:
    @operation(nothing, i64, i64, i64)
    def unpack(weights: Value, row_bytes: Value, panel: Value) -> None:
        rows = [_load(weights + row_bytes * r, type_name, count) for r in range(PANEL_ROWS)]
        if count == 1:
            panel.store(vector_of(rows))
            return
        for r in range(0, PANEL_ROWS, 4):
            (weights + row_bytes * (PANEL_ROWS + r)).prefetch(level=2)
        pairs = [join(rows[i], rows[j]).bits(I32) for i, j in ROW_PAIRS]
        for k, column in enumerate(transposed(pairs)):
            panel.store(column, 64 * k)

    return cast("Callable[[int, int, int], None]", unpack)


@routine
def tile_row(x: int, width: int, place: int) -> None:
    """Copy a row to its slot of a tile; ``place`` is that of its first column."""
    for k in range(width):
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
    """Return the micro-kernel for up to ``num_tokens`` of a tile."""
    tile = in_force().float_tile
    return float_multiply(num_tokens, tile.rows, min(tile.tokens, num_tokens))


@kernel_family
def float_multiply(num_tokens: int, lanes: int, tile: int) -> Callable[[int, int, int], None]:
    """Multiply a panel by the first tokens of a tile: columns, results.

    Called as ``(args, panel, tile's address)``; results are ``[tokens][16]``.
    """
    product = _product(lanes, tile)
    lane_bytes = 4 * lanes

    def multiply(args: int, panel: int, x: int) -> None:
        width, results = arg(args, 0), arg(args, 1)
        for first in range(0, num_tokens, tile):
            out = results + 4 * PANEL_ROWS * first
            for rows in range(0, 4 * PANEL_ROWS, lane_bytes):
                product(panel + rows, width, x + 4 * first, out + rows)

    return multiply


def _product(lanes: int, num_tokens: int) -> Callable[[int, int, int, int], None]:
    @operation(nothing, *[i64] * 4)
    def product(panel: Value, width: Value, x: Value, out: Value) -> None:
        builder = panel.b
        cells = [_cell(builder, lanes) for _ in range(num_tokens)]
        with loop(width) as k:
            weight = (panel + k * 64).load(F32, lanes)
            inputs = x + k * (4 * TILE)
            for t, cell in enumerate(cells):
                value = inputs.load(F32, 1, 4 * t).splat(lanes)
                _add(cell, weight.fma(value, weight.new(builder.load(cell))))
        for t, cell in enumerate(cells):
            out.store(panel.new(builder.load(cell)), 4 * PANEL_ROWS * t)

    return cast("Callable[[int, int, int, int], None]", product)
