"""Products of rows of weights with one activation, straight from the file's bytes.

    out[r] = Σ_k weight[r, k] * x[k]

A step is 64 columns of a format of small blocks, or a block. A sub-block's sum of integers is scaled by
``scale * d``. Offsets and minima are repaid by the activation's sums, ``-offset * scale * ds``; signed quants on
hardware that wants them unsigned start at ``bias`` instead. Integers are exact, the rest is float32, summed in
sixteen lanes.

Reads every byte of the weights once, and that is the time it takes. The activation is a row (``quantize.py``);
``num_blocks`` is 32-column blocks a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from numba import types
from numba.core import cgutils

from jackfield_backends.cpu.emit import F32, I8, I32, I64, Value, constant, lanes_of, vector_of, zeros
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.formats.block_format import BlockFormat
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.kernel import arg, kernel_family
from jackfield_backends.cpu.quantize import ROW_BIAS, ROW_BIAS16, ROW_D, ROW_DS, ROW_DS16
from jackfield_backends.cpu.simd import operation

__all__ = ["PREFETCH", "add_product", "row_products", "zeroed_cell"]

PREFETCH = 4096  # bytes ahead; the hardware prefetcher stops at the end of a page
LANES = 16
CHAINS = 2  # a chain of additions waits four cycles for each chunk of a block


def zeroed_cell(builder: Any, count: int) -> Any:
    """Return a place for running totals, which LLVM keeps in a register."""
    cell = cgutils.alloca_once(builder, lanes_of(F32, count))
    builder.store(zeros(builder, F32, count).v, cell)
    return cell


def add_product(cell: Any, x: Value, y: Value) -> None:
    """Add ``x * y`` to running totals."""
    x.b.store(x.fma(y, x.new(x.b.load(cell))).v, cell)


class _RowProduct:
    """Writes the product of one row of weights with an activation row."""

    def __init__(self, form: BlockFormat, weights: Value, num_blocks: Value, x: Value) -> None:
        self.form, self.weights, self.num_blocks, self.q = form, weights, num_blocks, x
        self.is_paired = form.elements == 32
        self.step = 64 if self.is_paired else form.elements
        self.num_scales = self.step // (16 if form.halves else 32)
        padded = (num_blocks + 1) & -2
        self.fields = {at: x + padded * at for at in (ROW_D, ROW_DS, ROW_BIAS, ROW_BIAS16, ROW_DS16)}
        self.chains = [zeroed_cell(x.b, LANES) for _ in range(CHAINS if self.step > 64 else 1)]
        self.repaid = zeroed_cell(x.b, self.num_scales)

    def write(self) -> Value:
        """Write the loop over the row and return the sum."""
        builder, weights = self.q.b, self.weights
        blocks = self.step // 32
        step_bytes = self.form.num_bytes * (2 if self.is_paired else 1)
        num_steps = weights.new(builder.udiv(self.num_blocks.v, weights.constant(blocks).v))
        with cgutils.for_range(builder, num_steps.v) as loop:
            i = weights.new(loop.index)
            p = weights + i * step_bytes
            for line in range(0, step_bytes, 64):
                p.prefetch(PREFETCH + line)
            self._step(p, p + self.form.num_bytes, i * blocks, is_half=False)
        if self.is_paired:
            with builder.if_then((self.num_blocks & 1).compare("==", 1).v):
                p = weights + num_steps * step_bytes
                self._step(p, p, num_steps * 2, is_half=True)
        return self._sum()

    def _step(self, p: Value, q: Value, block: Value, is_half: bool) -> None:
        """Add the products of the blocks at ``p`` and ``q``; of only ``p`` when ``is_half``."""
        form = self.form
        chunks = form.pairs(p, q, 0) if self.is_paired else form.chunks(p)
        scales, minima = form.column_scales([p, q]) if self.is_paired else form.scales(p)
        d = self._field(ROW_D, block, is_half)
        if form.halves:
            d = d.lanes([i // 2 for i in range(self.num_scales)])
        if form.offset or form.has_minimum:
            sums = self._field(ROW_DS16 if form.halves else ROW_DS, block, is_half)
            add_product(self.repaid, scales if minima is None else minima, sums)
        scaled = scales * d
        for c, chunk in enumerate(chunks):
            total = self._dot(chunk, block + 2 * c)
            add_product(self.chains[c % len(self.chains)], total.signed(F32), scaled.lanes(self._spread(c)))

    def _dot(self, chunk: Value, block: Value) -> Value:
        instructions = in_force()
        activation = (self.q + block * 32).load(I8, 64)
        zero = zeros(chunk.b, I32, LANES)
        if not self.form.signed:
            return instructions.dot_small([(chunk, [activation])], self.form.largest)[0]
        start = self._biases(block) if instructions.bias else zero
        return instructions.dot_signed([start], [(instructions.stored(chunk), [activation])])[0]

    def _biases(self, block: Value) -> Value:
        """Return the biases of two blocks, each in one of the lanes that take its scale."""
        if self.form.halves:
            every = (self.fields[ROW_BIAS16] + block * 8).load(I32, 4).lanes([i // 4 for i in range(LANES)])
            lanes: Sequence[int] = range(0, LANES, 4)
        else:
            every = (self.fields[ROW_BIAS] + block * 4).load(I64).splat(8).bits(I32)
            lanes = (0, 9)
        return every & constant(block.b, I32, [-1 if i in lanes else 0 for i in range(LANES)], LANES)

    def _field(self, field: int, block: Value, is_half: bool) -> Value:
        at = self.fields[field] + block * (8 if field == ROW_DS16 else 4)
        if not is_half:
            return at.load(F32, self.step // 32 if field == ROW_D else self.num_scales)
        value = at.load(F32)
        return vector_of([value, value.constant(0.0)])

    def _spread(self, chunk: int) -> list[int]:
        """Return for each lane of a chunk's sums, four columns each, the scale it takes."""
        columns = 16 if self.form.halves else 32
        return [(64 * chunk + 4 * lane) // columns for lane in range(LANES)]

    def _sum(self) -> Value:
        values = [self.q.new(self.q.b.load(cell)) for cell in self.chains]
        total = (values[0] + values[1] if len(values) > 1 else values[0]).total()
        if not (self.form.offset or self.form.has_minimum):
            return total
        repaid = self.q.new(self.q.b.load(self.repaid)).total()
        return total + repaid if self.form.has_minimum else repaid.fma(-float(self.form.offset), total)


def _row_product(form: BlockFormat) -> Callable[[int, int, int, int], None]:
    @operation(types.void, *[types.int64] * 4)
    def row_product(weights: Value, num_blocks: Value, x: Value, out: Value) -> None:
        out.store(_RowProduct(form, weights, num_blocks, x).write())

    return cast("Callable[[int, int, int, int], None]", row_product)


@kernel_family
def row_products(type_name: str) -> Callable[[int, int, int], None]:
    """Multiply rows of weights: matrix, bytes between rows, 32-column blocks a row, activation, results.

    Called as ``(args, start, stop)``; the result of row r goes to ``results[r - start]``.
    """
    row_product = _row_product(FORMATS[type_name])

    def multiply(args: int, start: int, stop: int) -> None:
        row_bytes, results = arg(args, 1), arg(args, 4)
        weights = arg(args, 0) + start * row_bytes
        num_blocks, x = arg(args, 2), arg(args, 3)
        for r in range(stop - start):
            row_product(weights + r * row_bytes, num_blocks, x, results + 4 * r)

    return multiply
