"""Activations as matrix products read them: int8 with a scale for every 32 columns, and the sums weights repay with.

    d = max |x| / 127,  q = round(x / d),  ds = d * Σ q;  bias = -128 * Σ q   over 32 columns and over halves of 16

``ds`` multiplies the minimum (or offset) of a block of weights, ``bias`` starts the totals of products with signed
weights where the hardware wants them unsigned (``instructions.py``). A NaN in a block makes its ``d`` NaN.

**The place of an activation** is one address; ``activation_bytes`` long. What lies there depends on T, the rows of
the step (all letters in bytes, ``B`` = K / 32 blocks a row):

- T ≤ ``ROW_TOKENS``: one part of 60 * B' a row, B' = B rounded up to even, holding one after the other
  ``q`` 32 B', ``d`` 4 B', ``ds`` 4 B', ``bias`` 4 B', ``bias16`` 8 B', ``ds16`` 8 B'. A row's blocks lie side by
  side: kernels that walk one row of weights read 64 columns at once.
- else tiles of ``TILE`` rows; a record of 720 for each tile and block, ``record = tile * B + block``:
  ``q`` [12][32], ``d`` [12], ``ds`` [12], ``bias`` [12], ``bias16`` [12][2], ``ds16`` [12][2]. Unrolled code for
  twelve tokens then has constant displacements from one pointer. Rows past T hold anything.

Both take 60 bytes a block and row, so one place serves every T. Kernels that make an activation themselves (norms,
gated units) call ``quantize_block`` for each block of 32 columns, in any order.

Parallel over rows and blocks. Reads 4 K bytes a row, writes 1.875 K.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import types

from jackfield_backends.cpu.emit import F32, I8, I32, Value, join
from jackfield_backends.cpu.kernel import arg, kernel, load_i64, routine
from jackfield_backends.cpu.simd import ROUND_TO_INT, f32x16, load_f32x16, operation

if TYPE_CHECKING:
    from jackfield.program import Buffer
    from jackfield_backends.cpu.lowering import Lowering

__all__ = [
    "BLOCK",
    "RECORD_BYTES",
    "ROW_TOKENS",
    "SLOT_BYTES",
    "TILE",
    "activation_bytes",
    "lower_quantize",
    "quantize",
    "quantize_block",
    "quantize_row",
]

BLOCK = 32
TILE = 12
ROW_TOKENS = 4
SLOT_BYTES = 60
RECORD_BYTES = TILE * SLOT_BYTES
# offsets of the fields: in a record in bytes, in a row's part in bytes a block
RECORD_D, RECORD_DS, RECORD_BIAS, RECORD_BIAS16, RECORD_DS16 = 384, 432, 480, 528, 624
ROW_D, ROW_DS, ROW_BIAS, ROW_BIAS16, ROW_DS16 = 32, 36, 40, 44, 52
BIAS = 128
LARGEST = 127.0


def activation_bytes(width: int, max_rows: int) -> int:
    """Return the bytes an activation of at most ``max_rows`` rows takes; ``width`` is a multiple of 32."""
    slots = max(min(max_rows, ROW_TOKENS), -(-max_rows // TILE) * TILE)
    return slots * SLOT_BYTES * (-(-width // (2 * BLOCK)) * 2)


def can_quantize(width: int) -> bool:
    """Return whether rows of that width have whole blocks."""
    return width % BLOCK == 0


def _magnitude_bits(x: Value) -> Value:
    return x.bits(I32) & 0x7FFFFFFF


def _greater(x: Value, y: Value) -> Value:
    return x.below(y).choose(y, x)


@operation(types.void, f32x16, f32x16, *[types.int64] * 6)
def store_block(
    x0: Value, x1: Value, q: Value, d: Value, ds: Value, bias: Value, bias16: Value, ds16: Value
) -> None:
    """Quantise 32 columns and write each field at its address."""
    # as integers the bits of magnitudes are in order, infinity and NaN last
    largest = _greater(_magnitude_bits(x0), _magnitude_bits(x1)).fold(_greater).bits(F32)
    scale = largest * (1 / LARGEST)
    inverse = largest.compare(">", 0.0).choose(largest.constant(LARGEST) / largest, 0.0)
    rounded = [x.fma(inverse, x.constant(ROUND_TO_INT)).bits(I32) for x in (x0, x1)]
    q.store(join(*(r.signed(I8) for r in rounded)))
    d.store(scale)
    sums = [(r - 0x4B400000).total() for r in rounded]
    ds.store(scale * (sums[0] + sums[1]).signed(F32))
    bias.store((sums[0] + sums[1]) * -BIAS)
    for i, half in enumerate(sums):
        bias16.store(half * -BIAS, 4 * i)
        ds16.store(scale * half.signed(F32), 4 * i)


@routine
def quantize_block(
    x0: Value, x1: Value, place: int, num_rows: int, row: int, num_blocks: int, block: int
) -> None:
    """Quantise columns ``32 * block`` and on of a row, given as two vectors of 16, into an activation.

    Args:
        place: The activation's address.
        num_rows: T, all rows of the step: it decides the layout.
    """
    if num_rows <= ROW_TOKENS:
        padded = (num_blocks + 1) & -2
        at = place + row * padded * SLOT_BYTES
        low, high = at + 4 * block, at + 8 * block
        store_block(
            x0,
            x1,
            at + BLOCK * block,
            low + ROW_D * padded,
            low + ROW_DS * padded,
            low + ROW_BIAS * padded,
            high + ROW_BIAS16 * padded,
            high + ROW_DS16 * padded,
        )
    else:
        tile, slot = row // TILE, row % TILE
        at = place + (tile * num_blocks + block) * RECORD_BYTES
        low, high = at + 4 * slot, at + 8 * slot
        store_block(
            x0,
            x1,
            at + BLOCK * slot,
            low + RECORD_D,
            low + RECORD_DS,
            low + RECORD_BIAS,
            high + RECORD_BIAS16,
            high + RECORD_DS16,
        )


@routine
def quantize_row(x: int, place: int, num_rows: int, row: int, num_blocks: int, start: int, stop: int) -> None:
    """Quantise blocks ``start`` to ``stop`` of a row of float32 at address ``x``."""
    for block in range(start, stop):
        at = x + 4 * BLOCK * block
        quantize_block(load_f32x16(at), load_f32x16(at + 64), place, num_rows, row, num_blocks, block)


@kernel
def quantize(args: int, thread: int, num_threads: int) -> None:
    """Quantise a buffer: rows cell, x, bytes between rows, blocks a row, place."""
    num_rows, x, row_bytes, num_blocks, place = (
        load_i64(arg(args, 0)),
        arg(args, 1),
        arg(args, 2),
        arg(args, 3),
        arg(args, 4),
    )
    units = num_rows * num_blocks
    unit, stop = thread * units // num_threads, (thread + 1) * units // num_threads
    while unit < stop:
        row, start = unit // num_blocks, unit % num_blocks
        end = min(num_blocks, start + stop - unit)
        quantize_row(x + row * row_bytes, place, num_rows, row, num_blocks, start, end)
        unit += end - start


def lower_quantize(lowering: Lowering, buffer: Buffer, place: int) -> None:
    """Append the call that makes a buffer's quantised copy."""
    lowering.call(
        quantize,
        lowering.num_rows_cell(buffer.rows),
        lowering.address(buffer),
        lowering.row_bytes(buffer),
        buffer.width // BLOCK,
        place,
    )
