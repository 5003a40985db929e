"""Linear ops on quantised weights: who multiplies what, and where results go.

    out[t, r] = (Σ_k weight[r, k] * x[t, k]) * scale + bias[r] + residual[t, r]

Few tokens (T ≤ ``ROW_TOKENS``) go row by row, straight from the file (``linear_rows.py``); more go through panels of 16
unpacked rows (``linear_panels.py``): as many panels as the second-level cache holds at once, then tile after tile of
tokens over all of them. Threads take chunks of rows from a counter, so that a thread that lost its core holds up
one chunk and not its share; a result is the same whoever computes it.

A *recipe* is what multiplying by one matrix needs, int64 words at an address: its fields are below. Results pass
through thread scratch, [tokens][rows], so that only ``finish_row`` knows scales, biases, residuals and ragged ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numba import types
from numba.core import cgutils

from jackfield.program import Weight
from jackfield.program.ops import Linear
from jackfield_backends.cpu.atomic import take
from jackfield_backends.cpu.emit import I8, Value
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.fused import LinearAdd
from jackfield_backends.cpu.kernel import Kernel, arg, kernel, load_i64, routine, store_i64
from jackfield_backends.cpu.linear_panels import PANEL_ROWS, multiply_kernel, panel_kind, unpack_kernel
from jackfield_backends.cpu.linear_rows import row_products
from jackfield_backends.cpu.quantize import BLOCK, RECORD_BYTES, ROW_TOKENS, TILE
from jackfield_backends.cpu.simd import load_f32, load_f32x16, operation, store_f32, store_f32x16
from jackfield_backends.cpu.table import Argument, call_kernel

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

# a recipe's words; row products for 1 … ROW_TOKENS tokens follow one another, micro-kernels for SMALL_TILE and TILE
ROW_BYTES, NUM_BLOCKS, NUM_ROWS, RECORD, PANELS, CHUNK, ROWS, UNPACK, MULTIPLY, MULTIPLY_SMALL = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    6 + ROW_TOKENS,
    7 + ROW_TOKENS,
    8 + ROW_TOKENS,
)
SMALL_TILE = 8
CHUNK_BYTES = 128 << 10  # of weights, for row products
MAX_CHUNK = 1024  # rows
PANELS_BYTES = 384 << 10  # leaves most of a second-level cache to the tile of activations
CHUNKS_PER_THREAD = (
    4  # at least, where the matrix is large enough: the wait at a barrier is part of one chunk
)
# thread scratch: arguments for the three component kernels, results, raw rows of a ragged end, panels
ROW_ARGS, UNPACK_ARGS, MULTIPLY_ARGS, RESULTS = 0, 64, 128, 192
RAW = RESULTS + 4 * ROW_TOKENS * MAX_CHUNK


def reads_activation(type_name: str) -> bool:
    """Return whether products with weights of that format read the quantised copy of their input."""
    return type_name in FORMATS


# ---- recipes -------------------------------------------------------------------------------------


def recipe_of(place: TensorPlace, width: int, num_rows: int, num_threads: int) -> list[Argument]:
    """Return the recipe of a matrix of ``num_rows`` x ``width``."""
    kind, num_blocks = panel_kind(place.type_name), width // BLOCK
    share = max(1, num_rows // (CHUNKS_PER_THREAD * num_threads))
    panels = max(1, min(PANELS_BYTES // (num_blocks * kind.record_bytes), share // PANEL_ROWS))
    chunk = min(
        MAX_CHUNK, max(PANEL_ROWS, min(CHUNK_BYTES // place.row_bytes, share) // PANEL_ROWS * PANEL_ROWS)
    )
    kernels: list[Kernel] = [row_products(place.type_name, n) for n in range(1, ROW_TOKENS + 1)]
    kernels += [
        unpack_kernel(place.type_name),
        multiply_kernel(kind, TILE),
        multiply_kernel(kind, SMALL_TILE),
    ]
    return [place.row_bytes, num_blocks, num_rows, kind.record_bytes, panels, chunk, *kernels]


def scratch_bytes(recipe: Sequence[Argument]) -> int:
    """Return the scratch a thread needs to follow a recipe."""
    row_bytes, num_blocks, _, record, panels = (
        int(word) for word in recipe[:5] if not isinstance(word, Kernel)
    )
    return _panels_at(row_bytes) + panels * num_blocks * record


def _panels_at(row_bytes: int) -> int:
    return -(-(RAW + PANEL_ROWS * row_bytes) // 64) * 64


# ---- kernels -------------------------------------------------------------------------------------


@operation(types.void, types.int64, types.int64, types.int64)
def copy_bytes(target: Value, source: Value, count: Value) -> None:
    """Copy bytes that do not overlap."""
    pointers = [target.b.inttoptr(a.v, I8.as_pointer()) for a in (target, source)]
    cgutils.raw_memcpy(target.b, *pointers, count.v, 1)


@routine
def finish_row(result: int, count: int, out: int, scale: np.float32, bias: int, residual: int) -> None:
    """Write ``count`` results of one token: ``result * scale + bias + residual``; addresses of 0 stand for nothing."""
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
    if num_tokens <= ROW_TOKENS:
        return arg(recipe, CHUNK)
    return PANEL_ROWS * arg(recipe, PANELS)


@routine
def multiply_chunk(
    recipe: int,
    matrix: int,
    start: int,
    stop: int,
    num_tokens: int,
    x: int,
    scratch: int,
    out: int,
    out_step: int,
    scale: np.float32,
    bias: int,
    residual: int,
    residual_step: int,
) -> None:
    """Multiply rows ``start`` to ``stop`` of a matrix by all tokens of the activation at ``x``.

    ``out``, ``bias`` and ``residual`` are addresses of row 0's; steps are bytes between tokens.
    """
    if num_tokens <= ROW_TOKENS:
        _multiply_rows(
            recipe,
            matrix,
            start,
            stop,
            num_tokens,
            x,
            scratch,
            out,
            out_step,
            scale,
            bias,
            residual,
            residual_step,
        )
    else:
        _multiply_panels(
            recipe,
            matrix,
            start,
            stop,
            num_tokens,
            x,
            scratch,
            out,
            out_step,
            scale,
            bias,
            residual,
            residual_step,
        )


@routine
def _offset(address: int, offset: int) -> int:
    return address + offset if address else 0


@routine
def _multiply_rows(
    recipe: int,
    matrix: int,
    start: int,
    stop: int,
    num_tokens: int,
    x: int,
    scratch: int,
    out: int,
    out_step: int,
    scale: np.float32,
    bias: int,
    residual: int,
    residual_step: int,
) -> None:
    args, results, step = scratch + ROW_ARGS, scratch + RESULTS, 4 * MAX_CHUNK
    store_i64(args, matrix)
    store_i64(args + 8, arg(recipe, ROW_BYTES))
    store_i64(args + 16, arg(recipe, NUM_BLOCKS))
    store_i64(args + 24, x)
    store_i64(args + 32, results)
    store_i64(args + 40, step)
    call_kernel(arg(recipe, ROWS + num_tokens - 1), args, start, stop)
    for t in range(num_tokens):
        finish_row(
            results + t * step,
            stop - start,
            out + t * out_step + 4 * start,
            scale,
            _offset(bias, 4 * start),
            _offset(residual, t * residual_step + 4 * start),
        )


@routine
def _unpack_panels(recipe: int, matrix: int, start: int, stop: int, scratch: int, panels: int) -> None:
    """Unpack rows ``start`` to ``stop`` to panels one after the other; a ragged end is completed with any bytes."""
    args, row_bytes, num_blocks = scratch + UNPACK_ARGS, arg(recipe, ROW_BYTES), arg(recipe, NUM_BLOCKS)
    store_i64(args, matrix)
    store_i64(args + 8, row_bytes)
    store_i64(args + 16, num_blocks)
    panel = panels
    for row in range(start, stop, PANEL_ROWS):
        first = row
        if stop - row < PANEL_ROWS:
            copy_bytes(scratch + RAW, matrix + row * row_bytes, (stop - row) * row_bytes)
            store_i64(args, scratch + RAW)
            first = 0
        call_kernel(arg(recipe, UNPACK), args, first, panel)
        panel += num_blocks * arg(recipe, RECORD)


@routine
def _multiply_panels(
    recipe: int,
    matrix: int,
    start: int,
    stop: int,
    num_tokens: int,
    x: int,
    scratch: int,
    out: int,
    out_step: int,
    scale: np.float32,
    bias: int,
    residual: int,
    residual_step: int,
) -> None:
    num_blocks, results = arg(recipe, NUM_BLOCKS), scratch + RESULTS
    panels = scratch + (RAW + PANEL_ROWS * arg(recipe, ROW_BYTES) + 63) // 64 * 64
    _unpack_panels(recipe, matrix, start, stop, scratch, panels)
    args = scratch + MULTIPLY_ARGS
    store_i64(args, num_blocks)
    store_i64(args + 8, results)
    for first in range(0, num_tokens, TILE):
        count = min(TILE, num_tokens - first)
        multiply = arg(recipe, MULTIPLY_SMALL) if count <= SMALL_TILE else arg(recipe, MULTIPLY)
        panel = panels
        for row in range(start, stop, PANEL_ROWS):
            call_kernel(multiply, args, panel, x + first // TILE * num_blocks * RECORD_BYTES)
            panel += num_blocks * arg(recipe, RECORD)
            for t in range(count):
                finish_row(
                    results + 4 * PANEL_ROWS * t,
                    min(PANEL_ROWS, stop - row),
                    out + (first + t) * out_step + 4 * row,
                    scale,
                    _offset(bias, 4 * row),
                    _offset(residual, (first + t) * residual_step + 4 * row),
                )


@kernel
def linear(args: int, thread: int, num_threads: int) -> None:
    """Multiply one matrix: counter, tokens cell, matrix, activation, scratch cells, targets, recipe."""
    num_tokens = load_i64(arg(args, 1))
    recipe = args + 8 * LINEAR_WORDS
    scratch = load_i64(arg(args, 4)) + thread * load_i64(arg(args, 4) + 8)
    scale = load_f32(arg(args, 7)) if arg(args, 7) else np.float32(1)
    num_rows = arg(recipe, NUM_ROWS)
    size = rows_of_chunk(recipe, num_tokens)
    start = take(arg(args, 0), size) if num_tokens else num_rows
    while start < num_rows:
        stop = min(start + size, num_rows)
        multiply_chunk(
            recipe,
            arg(args, 2),
            start,
            stop,
            num_tokens,
            arg(args, 3),
            scratch,
            arg(args, 5),
            arg(args, 6),
            scale,
            arg(args, 8),
            arg(args, 9),
            arg(args, 10),
        )
        start = take(arg(args, 0), size)


LINEAR_WORDS = 11


# ---- lowering ------------------------------------------------------------------------------------


def lower_linears(lowering: Lowering, ops: Sequence[Linear]) -> None:
    """Append the calls of consecutive linear ops of one ``x``; only after the last do threads meet."""
    for op in ops:
        _lower_linear(lowering, op, barrier=op is ops[-1])


def _lower_linear(lowering: Lowering, op: Linear, barrier: bool) -> None:
    num_rows, width = op.weight.shape
    place = lowering.tensor(op.weight)
    recipe = recipe_of(place, width, num_rows, lowering.limits.num_threads)
    residual = op.residual if isinstance(op, LinearAdd) else None
    lowering.call(
        linear,
        lowering.counter(),
        lowering.num_rows_cell(op.x.rows),
        place.address,
        lowering.activation(op.x),
        lowering.thread_scratch(scratch_bytes(recipe)),
        lowering.address(op.out),
        lowering.row_bytes(op.out),
        _vector(lowering, op.scale),
        _vector(lowering, op.bias),
        0 if residual is None else lowering.address(residual),
        0 if residual is None else lowering.row_bytes(residual),
        *recipe,
        barrier=barrier,
    )


def _vector(lowering: Lowering, weight: Weight | None) -> int:
    return 0 if weight is None else lowering.vector(weight)
