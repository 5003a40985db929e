"""Activations as matrix products read them: int8 with a scale for every 32 columns, and the sums weights repay.

    d = max |x| / 127,  q = round(x / d),  ds = d * Σ q,  bias = -128 * Σ q    sums over 32 columns, and over 16

``ds`` multiplies the minimum (or offset) of a block of weights, ``bias`` starts the totals of products with
signed weights where the hardware wants them unsigned (``instructions.py``). A NaN in a block makes its ``d`` NaN.

**The place of an activation** is one address, ``activation_bytes`` long, at a cache line. What lies there depends
on T, the rows of the step; B = K / 32 blocks a row:

- T ≤ ``FEW_TOKENS``, rows ``slot_bytes`` apart. In a row, one after the other:
  ``q`` 32 B', ``d`` 4 B', ``ds`` 4 B', ``bias`` 4 B', ``bias16`` 8 B', ``ds16`` 8 B' bytes, B' = B rounded up to
  eights. Products read eight blocks at once: their numbers lie in the order of ``LANE_BLOCKS``, those of halves as
  eight first halves and then eight second ones.
- else tiles of ``TILE`` rows: a record of ``RECORD_BYTES`` for each tile and block, number ``tile * B + block``:
  ``q`` [12][32], ``d`` [12], ``ds`` [12], ``bias`` [12], ``bias16`` [12][2], ``ds16`` [12][2]. Unrolled code for
  twelve tokens has constant displacements from one pointer.

Slots past T hold anything but have zeros for scales: what was there before might be a subnormal number, over which
some processors take many times as long. Kernels that make an activation themselves (norms, gated units)
call ``quantize_block`` for each block of 32 columns, in any order.

Parallel over rows and blocks. Reads 4 K bytes a row, writes 1.9 K.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from jackfield_backends.cpu.emit import F32, I8, I32, Value, join, loop, zeros
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.kernel import arg, kernel, load_i64, routine
from jackfield_backends.cpu.operation import f32x16, i64, nothing, operation
from jackfield_backends.cpu.simd import ROUND_TO_INT, load_f32x16
from jackfield_backends.cpu.sums import CHAINS
from jackfield_backends.cpu.tile import TILE

if TYPE_CHECKING:
    from jackfield.program import Buffer
    from jackfield_backends.cpu.lowering import Lowering

__all__ = [
    "BLOCK",
    "FEW_TOKENS",
    "RECORD_BYTES",
    "activation_bytes",
    "lower_quantize",
    "padded_blocks",
    "quantize",
    "quantize_block",
    "quantize_row",
    "slot_bytes",
]

Blocks = TypeVar("Blocks", int, Value)

BLOCK = 32
FEW_TOKENS = 3  # the most that weights in blocks are multiplied by from the file's bytes
# offsets of fields: in a row in bytes a block, of which 4 are left empty so that rows begin at cache lines; in records
# in bytes
ROW_D, ROW_DS, ROW_BIAS, ROW_BIAS16, ROW_DS16, ROW_BYTES = 32, 36, 40, 44, 52, 64
RECORD_D, RECORD_DS, RECORD_BIAS, RECORD_BIAS16, RECORD_DS16, RECORD_BYTES = 384, 432, 480, 528, 624, 720
BIAS = 128
LARGEST = 127.0


def padded_blocks(num_blocks: Blocks) -> Blocks:
    """Return B', the blocks that a row has room for."""
    return (num_blocks + CHAINS - 1) & -CHAINS


def slot_bytes(width: int) -> int:
    """Return bytes between rows, which are more than a slot of a tile takes."""
    return ROW_BYTES * padded_blocks(width // BLOCK)


def activation_bytes(width: int, max_rows: int) -> int:
    """Return the bytes an activation of at most ``max_rows`` rows takes; ``width`` is a multiple of 32."""
    num_tiles = -(-max_rows // TILE)
    return max(FEW_TOKENS * slot_bytes(width), num_tiles * RECORD_BYTES * (width // BLOCK))


def _magnitude_bits(x: Value) -> Value:
    return x.bits(I32) & 0x7FFFFFFF


def _greater(x: Value, y: Value) -> Value:
    return x.below(y).choose(y, x)


class _Quantized:
    """Writes the quantisation of 32 columns, and the storing of its fields."""

    def __init__(self, x0: Value, x1: Value) -> None:
        # as integers the bits of magnitudes are in order, infinity and NaN last
        largest = _greater(_magnitude_bits(x0), _magnitude_bits(x1)).fold(_greater).bits(F32)
        self.d = largest * (1 / LARGEST)
        inverse = largest.compare(">", 0.0).choose(largest.constant(LARGEST) / largest, 0.0)
        rounded = (x.fma(inverse, x.constant(ROUND_TO_INT)).bits(I32).signed(I8) for x in (x0, x1))
        self.q = join(*rounded)
        (fours,) = in_force().dot_small([(self.q.constant(1), [self.q])], 1)
        pairs = fours + fours.lanes([2, 3, 2, 3, 6, 7, 6, 7])
        halves = pairs + pairs.lanes([1, 1, 1, 1, 5, 5, 5, 5])
        self.sums = [halves.lane(0), halves.lane(4)]
        self.total = self.sums[0] + self.sums[1]

    def store_row(self, place: Value, num_blocks: Value, block: Value) -> None:
        padded = padded_blocks(num_blocks)
        (place + block * BLOCK).store(self.q)
        slot = (block & 1) << 2 | (block & 7) >> 1  # its place in LANE_BLOCKS
        low, high = (place + (block & -8) * size + slot * 4 for size in (4, 8))
        (low + padded * ROW_D).store(self.d)
        (low + padded * ROW_DS).store(self.d * self.total.signed(F32))
        (low + padded * ROW_BIAS).store(self.total * -BIAS)
        self._store_halves(high + padded * ROW_BIAS16, high + padded * ROW_DS16, 4 * CHAINS)

    def store_tile(self, record: Value, slot: Value) -> None:
        four, eight = record + slot * 4, record + slot * 8
        (record + slot * BLOCK).store(self.q)
        four.store(self.d, RECORD_D)
        four.store(self.d * self.total.signed(F32), RECORD_DS)
        four.store(self.total * -BIAS, RECORD_BIAS)
        self._store_halves(eight + RECORD_BIAS16, eight + RECORD_DS16, 4)

    def _store_halves(self, bias16: Value, ds16: Value, step: int) -> None:
        for i, total in enumerate(self.sums):
            bias16.store(total * -BIAS, step * i)
            ds16.store(self.d * total.signed(F32), step * i)


def _clear_tile(record: Value, slot: Value) -> None:
    with loop(slot.constant(TILE), slot) as empty:
        for field in (RECORD_D, RECORD_DS):
            (record + empty * 4).store(zeros(slot.b, F32, 1), field)
        (record + empty * 8).store(zeros(slot.b, F32, 2), RECORD_DS16)


@operation(nothing, f32x16, f32x16, *[i64] * 5)
def quantize_block(
    x0: Value, x1: Value, place: Value, num_rows: Value, row: Value, num_blocks: Value, block: Value
) -> None:
    """Quantise columns ``32 * block`` and on of a row, given as two vectors of 16, into an activation.

    Args:
        place: The activation's address.
        num_rows: T, all rows of the step: it decides the layout.
    """
    made, builder = _Quantized(x0, x1), x0.b
    with builder.if_else(num_rows.below(FEW_TOKENS + 1).v) as (few, many):
        with few:
            made.store_row(place + row * padded_blocks(num_blocks) * ROW_BYTES, num_blocks, block)
        with many:
            tile = row.new(builder.udiv(row.v, row.constant(TILE).v))
            record, slot = place + (tile * num_blocks + block) * RECORD_BYTES, row - tile * TILE
            made.store_tile(record, slot)
            with builder.if_then((row + 1).compare("==", num_rows).v):
                _clear_tile(record, slot + 1)


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
