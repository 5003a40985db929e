"""Linear ops: who multiplies what, and where results go.

    out[t, r] = (Σ_k weight[r, k] * x[t, k]) * scale + bias[r] + residual[t, r]

Up to ``FEW_TOKENS`` go row by row, straight from the file (``linear_rows.py``); more go through panels of 16 unpacked
rows (``linear_panels.py``): as many panels as the second-level cache holds at once, then tile after tile of tokens over
all of them. Weights of plain floats go the same two ways, with ``FEW_FLOAT_TOKENS`` (``linear_float.py``). Threads take
chunks of rows from a counter, so that a thread that lost its core holds up one chunk and not its share; a result is the
same whoever computes it.

A *recipe* is what multiplying by one matrix needs and a *target* where results go, int64 words at an address each:
their fields are below. Results pass through thread scratch, [tokens][rows], so that only ``finish_row`` knows
scales, biases, residuals and ragged ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir

from jackfield.program import Weight
from jackfield.program.ops import Linear
from jackfield_backends.cpu.atomic import take
from jackfield_backends.cpu.emit import I1, I8, I64, Value
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.fused import LinearAdd
from jackfield_backends.cpu.kernel import Kernel, arg, kernel, load_i64, routine, store_i64
from jackfield_backends.cpu.linear_float import ELEMENT_BYTES, FEW_FLOAT_TOKENS
from jackfield_backends.cpu.linear_float_panels import (
    float_multiply,
    float_panel_bytes,
    float_panels,
    tile_bytes,
    tiles,
)
from jackfield_backends.cpu.linear_float_rows import float_rows
from jackfield_backends.cpu.linear_panels import PANEL_ROWS, multiply_kernel, panel_kind, unpack_kernel
from jackfield_backends.cpu.linear_rows import row_kernel
from jackfield_backends.cpu.operation import i64, nothing, operation
from jackfield_backends.cpu.quantize import (
    BLOCK,
    FEW_TOKENS,
    RECORD_BYTES,
    slot_bytes,
)
from jackfield_backends.cpu.simd import load_f32, load_f32x16, store_f32, store_f32x16
from jackfield_backends.cpu.table import Argument, call_kernel
from jackfield_backends.cpu.tile import TILE

if TYPE_CHECKING:
    from jackfield_backends.cpu.lowering import Lowering, TensorPlace

__all__ = [
    "lower_linears",
    "multiply_chunk",
    "reads_activation",
    "recipe_of",
    "rows_of_chunk",
    "scratch_bytes",
]

# a target's words: addresses of row 0 for token 0, steps in bytes between tokens; an address of 0 stands for nothing
OUT, OUT_STEP, SCALE, BIAS, RESIDUAL, RESIDUAL_STEP = range(6)
TARGET_WORDS = 6
# a recipe's words. WIDTH is in blocks of 32 columns, in columns for plain floats. Up to FEW tokens go row by row; from
# ROWS on are row products for each number of tokens from 1
ROW_BYTES, WIDTH, NUM_ROWS, PANEL_BYTES, PANELS, CHUNK, TILE_BYTES, FEW, UNPACK, MULTIPLY, ROWS = range(11)
CHUNK_BYTES = 128 << 10  # of weights, for row products
MAX_CHUNK = 512  # rows
CACHED_BYTES = 384 << 10  # leaves most of a second-level cache to the tile of activations
CHUNKS_PER_THREAD = (
    4  # at least, where the matrix is large enough: the wait at a barrier is part of one chunk
)
# thread scratch: arguments for the three component kernels, a target, results, raw rows of a ragged end, panels
ROW_ARGS, UNPACK_ARGS, MULTIPLY_ARGS, SCRATCH_TARGET, RESULTS = range(0, 320, 64)
RESULTS_STEP = 4 * (MAX_CHUNK + 16)  # room for rows past the last
RAW = RESULTS + FEW_FLOAT_TOKENS * RESULTS_STEP


def reads_activation(type_name: str) -> bool:
    """Return whether products with weights of that format read the quantised copy of their input."""
    return type_name in FORMATS


# ---- recipes -------------------------------------------------------------------------------------


def recipe_of(place: TensorPlace, width: int, num_rows: int, num_threads: int) -> list[Argument]:
    """Return the recipe of a matrix of ``num_rows`` x ``width``."""
    units, panel_bytes, tile_bytes = _sizes_of(place.type_name, width)
    share = max(1, num_rows // (CHUNKS_PER_THREAD * num_threads))
    panels = max(1, min(CACHED_BYTES // panel_bytes, share // PANEL_ROWS))
    chunk = min(MAX_CHUNK, CHUNK_BYTES // place.row_bytes, share) // PANEL_ROWS * PANEL_ROWS
    sizes = [
        place.row_bytes,
        units,
        num_rows,
        panel_bytes,
        panels,
        max(PANEL_ROWS, chunk),
        tile_bytes,
        FEW_FLOAT_TOKENS if place.type_name in ELEMENT_BYTES else FEW_TOKENS,
    ]
    return [*sizes, *component_kernels(place.type_name)]


def _sizes_of(type_name: str, width: int) -> tuple[int, int, int]:
    """Return units of width a row, and the bytes of a panel and of a tile."""
    if type_name in ELEMENT_BYTES:
        return width, float_panel_bytes(width), 4 * TILE * width
    blocks = width // BLOCK
    return blocks, blocks * panel_kind(type_name).record_bytes, blocks * RECORD_BYTES


def component_kernels(type_name: str) -> list[Kernel]:
    """Return the kernels that products with a format are made of, in a recipe's order."""
    if type_name in ELEMENT_BYTES:
        # one kernel for any number of tokens
        return [float_panels(type_name), float_multiply, *[float_rows(type_name)] * FEW_FLOAT_TOKENS]
    rows = [row_kernel(type_name, num_tokens) for num_tokens in range(1, FEW_TOKENS + 1)]
    return [unpack_kernel(type_name), multiply_kernel(panel_kind(type_name)), *rows]


def scratch_bytes(recipe: Sequence[Argument]) -> int:
    """Return the scratch a thread needs to follow a recipe."""
    sizes = [word for word in recipe if isinstance(word, int)]
    return _panels_at(sizes[ROW_BYTES]) + sizes[PANELS] * sizes[PANEL_BYTES]


def _panels_at(row_bytes: int) -> int:
    return -(-(RAW + PANEL_ROWS * row_bytes) // 64) * 64


# ---- kernels -------------------------------------------------------------------------------------


@operation(nothing, i64, i64, i64)
def copy_bytes(target: Value, source: Value, count: Value) -> None:
    """Copy bytes that do not overlap."""
    pointers = [address.pointer(I8) for address in (target, source)]
    copy = target.b.module.declare_intrinsic("llvm.memcpy", [*(pointer.type for pointer in pointers), I64])
    target.b.call(copy, [*pointers, count.v, ir.Constant(I1, 0)])


@routine
def finish_row(target: int, result: int, t: int, start: int, count: int) -> None:
    """Write the results of rows ``start`` to ``start + count`` for token t to a target."""
    out = arg(target, OUT) + t * arg(target, OUT_STEP) + 4 * start
    bias = arg(target, BIAS)
    residual = arg(target, RESIDUAL)
    scale = load_f32(arg(target, SCALE)) if arg(target, SCALE) else np.float32(1)
    if bias:
        bias += 4 * start
    if residual:
        residual += t * arg(target, RESIDUAL_STEP) + 4 * start
    whole = count & -16
    for i in range(0, 4 * whole, 64):
        value = load_f32x16(result + i) * scale
        if bias:
            value = value + load_f32x16(bias + i)
        if residual:
            value = value + load_f32x16(residual + i)
        store_f32x16(out + i, value)
    for i in range(4 * whole, 4 * count, 4):
        one = load_f32(result + i) * scale
        if bias:
            one += load_f32(bias + i)
        if residual:
            one += load_f32(residual + i)
        store_f32(out + i, one)


@routine
def rows_of_chunk(recipe: int, num_tokens: int) -> int:
    """Return how many rows to take at once."""
    if num_tokens <= arg(recipe, FEW):
        return arg(recipe, CHUNK)
    return PANEL_ROWS * arg(recipe, PANELS)


@routine
def multiply_chunk(
    recipe: int,
    target: int,
    matrix: int,
    start: int,
    stop: int,
    num_tokens: int,
    x: int,
    x_step: int,
    scratch: int,
) -> None:
    """Multiply rows ``start`` to ``stop`` of a matrix by all tokens of the input at ``x``.

    ``x`` is an activation, its rows ``x_step`` bytes apart where they are single; for plain floats rows of float32, and
    for more than a few tokens tiles.
    """
    if num_tokens <= arg(recipe, FEW):
        _multiply_rows(recipe, target, matrix, start, stop, num_tokens, x, x_step, scratch)
    else:
        panels = scratch + (RAW + PANEL_ROWS * arg(recipe, ROW_BYTES) + 63) // 64 * 64
        size = PANEL_ROWS
        if (num_tokens + TILE - 1) // TILE * arg(recipe, TILE_BYTES) > CACHED_BYTES:
            size *= arg(recipe, PANELS)
        for first in range(start, stop, size):
            last = min(first + size, stop)
            _unpack_panels(recipe, matrix, first, last, scratch, panels)
            _multiply_panels(recipe, target, first, last, num_tokens, x, scratch, panels)


@routine
def _multiply_rows(
    recipe: int,
    target: int,
    matrix: int,
    start: int,
    stop: int,
    num_tokens: int,
    x: int,
    x_step: int,
    scratch: int,
) -> None:
    args, results, step = scratch + ROW_ARGS, scratch + RESULTS, RESULTS_STEP
    store_i64(args, matrix)
    store_i64(args + 8, arg(recipe, ROW_BYTES))
    store_i64(args + 16, arg(recipe, WIDTH))
    store_i64(args + 24, x)
    store_i64(args + 32, results)
    store_i64(args + 40, step)
    store_i64(args + 48, x_step)
    store_i64(args + 56, num_tokens)
    call_kernel(arg(recipe, ROWS + num_tokens - 1), args, start, stop)
    for t in range(num_tokens):
        finish_row(target, results + t * step, t, start, stop - start)


@routine
def _unpack_panels(recipe: int, matrix: int, start: int, stop: int, scratch: int, panels: int) -> None:
    """Unpack rows ``start`` to ``stop`` to panels one after the other; a ragged end is completed with any bytes."""
    args, row_bytes = scratch + UNPACK_ARGS, arg(recipe, ROW_BYTES)
    store_i64(args, matrix)
    store_i64(args + 8, row_bytes)
    store_i64(args + 16, arg(recipe, WIDTH))
    panel = panels
    for row in range(start, stop, PANEL_ROWS):
        first = row
        if stop - row < PANEL_ROWS:
            copy_bytes(scratch + RAW, matrix + row * row_bytes, (stop - row) * row_bytes)
            store_i64(args, scratch + RAW)
            first = 0
        call_kernel(arg(recipe, UNPACK), args, first, panel)
        panel += arg(recipe, PANEL_BYTES)


@routine
def _multiply_panels(
    recipe: int, target: int, start: int, stop: int, num_tokens: int, x: int, scratch: int, panels: int
) -> None:
    args, results = scratch + MULTIPLY_ARGS, scratch + RESULTS
    store_i64(args, arg(recipe, WIDTH))
    store_i64(args + 8, results)
    for first in range(0, num_tokens, TILE):
        count = min(TILE, num_tokens - first)
        store_i64(args + 16, count)
        panel = panels
        for row in range(start, stop, PANEL_ROWS):
            call_kernel(arg(recipe, MULTIPLY), args, panel, x + first // TILE * arg(recipe, TILE_BYTES))
            panel += arg(recipe, PANEL_BYTES)
            for t in range(count):
                result = results + 4 * PANEL_ROWS * t
                finish_row(target, result, first + t, row, min(PANEL_ROWS, stop - row))


@kernel
def linear(args: int, thread: int, num_threads: int) -> None:
    """Multiply one matrix: counter, tokens cell, matrix, input as rows, its step, as tiles, scratch cells, target."""
    num_tokens = load_i64(arg(args, 1))
    scratch = load_i64(arg(args, 6)) + thread * load_i64(arg(args, 6) + 8)
    target, recipe = args + 8 * TARGET_WORD, args + 8 * RECIPE_WORD
    x = arg(args, 3) if num_tokens <= arg(recipe, FEW) else arg(args, 5)
    num_rows, size = arg(recipe, NUM_ROWS), rows_of_chunk(recipe, num_tokens)
    start = take(arg(args, 0), size) if num_tokens else num_rows
    while start < num_rows:
        stop = min(start + size, num_rows)
        multiply_chunk(recipe, target, arg(args, 2), start, stop, num_tokens, x, arg(args, 4), scratch)
        start = take(arg(args, 0), size)


TARGET_WORD, RECIPE_WORD = 7, 7 + TARGET_WORDS  # where they begin among the arguments of ``linear``


# ---- lowering ------------------------------------------------------------------------------------


def lower_linears(lowering: Lowering, ops: Sequence[Linear]) -> None:
    """Append the calls of consecutive linear ops of one ``x``.

    Threads meet after each: a part of the next product would write over the scratch of the same part of this one.
    """
    inputs = [_input_of(lowering, op) for op in ops]
    for op, place in zip(ops, inputs, strict=True):
        _lower_linear(lowering, op, place)


def _input_of(lowering: Lowering, op: Linear) -> tuple[int, int, int]:
    """Return the address of a product's input as rows, the bytes between them, and its address as tiles."""
    if reads_activation(lowering.tensor(op.weight).type_name):
        place = lowering.activation(op.x)
        return place, slot_bytes(op.x.width), place
    x, step, most = lowering.address(op.x), lowering.row_bytes(op.x), lowering.max_rows(op.x.rows)
    if most <= FEW_FLOAT_TOKENS:
        return x, step, 0

    def make(place: int) -> None:
        cell = lowering.num_rows_cell(op.x.rows)
        lowering.call(tiles, cell, x, step, op.x.width, place, FEW_FLOAT_TOKENS + 1)

    return x, step, lowering.derived(op.x, tile_bytes(op.x.width, most), make)


def _lower_linear(lowering: Lowering, op: Linear, place: tuple[int, int, int]) -> None:
    num_rows, width = op.weight.shape
    tensor = lowering.tensor(op.weight)
    recipe = recipe_of(tensor, width, num_rows, lowering.limits.num_threads)
    residual = op.residual if isinstance(op, LinearAdd) else None
    lowering.call(
        linear,
        lowering.counter(),
        lowering.num_rows_cell(op.x.rows),
        tensor.address,
        *place,
        lowering.thread_scratch(scratch_bytes(recipe)),
        lowering.address(op.out),
        lowering.row_bytes(op.out),
        _vector(lowering, op.scale),
        _vector(lowering, op.bias),
        0 if residual is None else lowering.address(residual),
        0 if residual is None else lowering.row_bytes(residual),
        *recipe,
    )


def _vector(lowering: Lowering, weight: Weight | None) -> int:
    return 0 if weight is None else lowering.vector(weight)
