"""Products of rows of weights with one to four activations, straight from the file's bytes.

    out[t, r] = Σ_k weight[r, k] * x[t, k]

A step is 64 columns of a format of small blocks, or a block. The quants come into registers once and are multiplied
by every token's int8; a sub-block's sum of integers is scaled by ``scale * d_t``. Offsets and minima are repaid by
the activation's sums: ``offset * scale * ds_t``; signed quants on hardware that wants them unsigned start at
``bias_t`` instead. Integers are exact, the rest is float32, summed in sixteen lanes.

Reads every byte of the weights once, and at one token that is the time it takes. Activations are in rows
(``quantize.py``); ``nb`` is 32-column blocks a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numba import types
from numba.core import cgutils

from jackfield_backends.cpu.emit import F32, I8, I32, I64, Value, constant, lanes_of, vector_of, zeros
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.formats.block_format import BlockFormat
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.kernel import arg, kernel_family
from jackfield_backends.cpu.quantize import ROW_BIAS, ROW_BIAS16, ROW_D, ROW_DS, ROW_DS16, SLOT_BYTES
from jackfield_backends.cpu.simd import operation

__all__ = ["row_products"]

PREFETCH = 4096  # bytes ahead; the hardware prefetcher stops at the end of a page
LANES = 16


class _Token:
    """One activation row, and its running totals."""

    def __init__(self, part: Value, padded: Value, num_chains: int, num_scales: int) -> None:
        builder = part.b
        self.q = part
        self.fields = {at: part + padded * at for at in (ROW_D, ROW_DS, ROW_BIAS, ROW_BIAS16, ROW_DS16)}
        self.chains = [_cell(builder, LANES) for _ in range(num_chains)]
        self.repaid = _cell(builder, num_scales)

    def at(self, field: int, block: Value, count: int, element: Any = F32, size: int = 4) -> Value:
        """Return lanes of a field from a 32-column block on; ``size`` is the field's bytes a block."""
        return (self.fields[field] + block * size).load(element, count)


def _cell(builder: Any, count: int) -> Any:
    cell = cgutils.alloca_once(builder, lanes_of(F32, count))
    builder.store(zeros(builder, F32, count).v, cell)
    return cell


def _add_product(cell: Any, x: Value, y: Value) -> None:
    total = x.fma(y, x.new(x.b.load(cell)))
    x.b.store(total.v, cell)


class _RowProduct:
    """Writes the product of one row of weights with some tokens."""

    def __init__(self, form: BlockFormat, num_tokens: int) -> None:
        self.form = form
        self.is_paired = form.elements == 32
        self.step = 64 if self.is_paired else form.elements
        self.num_scales = self.step // (16 if form.halves else 32)
        self.num_tokens = num_tokens
        # a chain of additions waits four cycles for each chunk; several tokens are several chains already
        self.num_chains = 2 if num_tokens == 1 and self.step > 64 else 1

    def write(self, weights: Value, num_blocks: Value, x: Value, out: Value, out_step: Value) -> None:
        builder = weights.b
        padded = (num_blocks + 1) & -2
        part = padded * SLOT_BYTES
        tokens = [
            _Token(x + part * t, padded, self.num_chains, self.num_scales) for t in range(self.num_tokens)
        ]
        blocks = self.step // 32
        step_bytes = self.form.num_bytes * (2 if self.is_paired else 1)
        num_steps = num_blocks.new(builder.udiv(num_blocks.v, num_blocks.constant(blocks).v))
        with cgutils.for_range(builder, num_steps.v) as loop:
            i = weights.new(loop.index)
            p = weights + i * step_bytes
            for line in range(0, step_bytes, 64):
                p.prefetch(PREFETCH + line)
            self._step(p, p + self.form.num_bytes, i * blocks, tokens, is_half=False)
        if self.is_paired:
            with builder.if_then((num_blocks & 1).compare("==", 1).v):
                p = weights + num_steps * step_bytes
                self._step(p, p, num_steps * 2, tokens, is_half=True)
        for t, token in enumerate(tokens):
            (out + out_step * t).store(self._sum(token))

    def _step(self, p: Value, q: Value, block: Value, tokens: Sequence[_Token], is_half: bool) -> None:
        """Add the products of the blocks at ``p`` and ``q``; of only ``p`` when ``is_half``."""
        form = self.form
        chunks = form.pairs(p, q, 0) if self.is_paired else form.chunks(p)
        if form.signed:
            chunks = [in_force().stored(chunk) for chunk in chunks]
        scales, minima = form.column_scales([p, q]) if self.is_paired else form.scales(p)
        for token in tokens:
            d = self._field(token, ROW_D, block, is_half)
            per_scale = d.lanes([i // 2 for i in range(self.num_scales)]) if form.halves else d
            scaled = scales * per_scale
            if form.offset or form.has_minimum:
                sums = ROW_DS16 if form.halves else ROW_DS
                ds = self._field(token, sums, block, is_half)
                _add_product(token.repaid, scales if minima is None else minima, ds)
            for c, chunk in enumerate(chunks):
                start = block + 2 * c
                activation = (token.q + start * 32).load(I8, 64)
                total = self._dot(chunk, activation, token, start)
                cell = token.chains[c % len(token.chains)]
                _add_product(cell, total.signed(F32), scaled.lanes(self._spread(c)))

    def _dot(self, chunk: Value, activation: Value, token: _Token, block: Value) -> Value:
        instructions = in_force()
        zero = zeros(chunk.b, I32, LANES)
        if not self.form.signed:
            return instructions.dot_small(zero, chunk, activation)
        if not instructions.bias:
            return instructions.dot_signed(zero, chunk, activation)
        return instructions.dot_signed(self._biases(token, block), chunk, activation)

    def _biases(self, token: _Token, block: Value) -> Value:
        """Return the biases of two blocks, each in one of the lanes that take its scale."""
        if self.form.halves:
            every = token.at(ROW_BIAS16, block, 4, I32, size=8).lanes([i // 4 for i in range(LANES)])
            lanes = range(0, LANES, 4)
        else:
            every = token.at(ROW_BIAS, block, 1, I64).splat(8).bits(I32)
            lanes = (0, 9)
        return every & constant(block.b, I32, [-1 if i in lanes else 0 for i in range(LANES)], LANES)

    def _field(self, token: _Token, field: int, block: Value, is_half: bool) -> Value:
        size = 8 if field == ROW_DS16 else 4
        if not is_half:
            return token.at(field, block, self.num_scales if field != ROW_D else self.step // 32, size=size)
        value = token.at(field, block, 1)
        return vector_of([value, value.constant(0.0)])

    def _spread(self, chunk: int) -> list[int]:
        """Return for each lane of a chunk's sums, four columns each, the scale it takes."""
        columns = 16 if self.form.halves else 32
        return [(64 * chunk + 4 * lane) // columns for lane in range(LANES)]

    def _sum(self, token: _Token) -> Value:
        values = [token.q.new(token.q.b.load(cell)) for cell in token.chains]
        total = (values[0] + values[1] if len(values) > 1 else values[0]).total()
        if not (self.form.offset or self.form.has_minimum):
            return total
        repaid = token.q.new(token.q.b.load(token.repaid)).total()
        return total + repaid if self.form.has_minimum else repaid.fma(-float(self.form.offset), total)


def _row_product(form: BlockFormat, num_tokens: int) -> Callable[[int, int, int, int, int], None]:
    @operation(types.void, *[types.int64] * 5)
    def row_product(weights: Value, num_blocks: Value, x: Value, out: Value, out_step: Value) -> None:
        _RowProduct(form, num_tokens).write(weights, num_blocks, x, out, out_step)

    return row_product


@kernel_family
def row_products(type_name: str, num_tokens: int) -> Callable[[int, int, int], None]:
    """Multiply rows of weights: matrix, bytes between rows, 32-column blocks a row, activation, results, their step.

    Called as ``(args, start, stop)``; the result of row r and token t goes to ``results[t][r - start]``.
    """
    row_product = _row_product(FORMATS[type_name], num_tokens)

    def multiply(args: int, start: int, stop: int) -> None:
        row_bytes, results = arg(args, 1), arg(args, 4)
        weights = arg(args, 0) + start * row_bytes
        num_blocks, x, step = arg(args, 2), arg(args, 3), arg(args, 5)
        for r in range(stop - start):
            row_product(weights + r * row_bytes, num_blocks, x, results + 4 * r, step)

    return multiply
