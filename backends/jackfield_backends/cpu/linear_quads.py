"""Products of rows of weights with two to four activations, straight from the file's bytes.

    out[t, r] = Σ_k weight[r, k] * x[t, k]

A vector of weights is sixteen columns of one row, four times over; it meets the same columns of four tokens, a
*quad*. Four rows' dot products are then summed and interleaved into one vector, [4 tokens][4 rows], and scaled
together. So rows are read in their own order, as prefetchers like it, no panel is stored, and an activation is
loaded once for four rows. Rows past the last repeat it, and their results are not looked at.

Quants are those of panels: signed ones as the hardware wants them, their totals starting at the activation's bias;
unsigned ones where the format has a minimum, or where an offset is better repaid (``panel_kind``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from jackfield_backends.cpu.emit import F32, I8, I32, Value, loop, stack_bytes, vector_of, zeros
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.formats.block_format import BlockFormat
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.kernel import Kernel, arg, kernel_family
from jackfield_backends.cpu.linear_panels import PanelKind, panel_kind, stored
from jackfield_backends.cpu.linear_rows import PREFETCH
from jackfield_backends.cpu.operation import i64, nothing, operation
from jackfield_backends.cpu.quantize import (
    QUAD,
    QUAD_BIAS,
    QUAD_BIAS16,
    QUAD_BYTES,
    QUAD_D,
    QUAD_DS,
    QUAD_DS16,
)
from jackfield_backends.cpu.sums import Chains, pairwise, summed_fours

__all__ = ["ROWS", "quad_kernel", "quad_products"]

ROWS = 4  # as many as a quad has tokens: their sums fill one vector
LANES = 16


class _QuadProduct:
    """Writes the products of four rows of weights with a quad of activations."""

    def __init__(self, form: BlockFormat, kind: PanelKind, num_blocks: Value, x: Value) -> None:
        self.form, self.kind, self.num_blocks, self.x = form, kind, num_blocks, x
        self.chains = Chains(num_blocks, 1, LANES)
        # [scale][4 rows] on the stack: repeating sixteen bytes is free while loading, and takes a shuffle otherwise
        self.scales = stack_bytes(x, 16 * form.num_scales)
        self.minima = stack_bytes(x, 16 * form.num_scales)

    def write(self, rows: Sequence[Value], ahead: Value, out: Value, out_step: Value) -> None:
        """Write the loop over the rows' blocks and the storing of results."""
        builder, form = out.b, self.form
        num_steps = out.new(builder.udiv(self.num_blocks.v, out.constant(form.num_sub_blocks).v))
        with loop(num_steps) as i:
            places = [row + i * form.num_bytes for row in rows]
            for place in places:
                for line in range(0, form.num_bytes, 64):
                    (place + ahead).prefetch(line)
            self._step(places, i * form.num_sub_blocks)
        (total,) = self.chains.totals()
        for t in range(QUAD):
            (out + out_step * t).store(total.lanes(range(ROWS * t, ROWS * t + ROWS)))

    def _step(self, places: Sequence[Value], block: Value) -> None:
        form = self.form
        self._store_scales(places)
        for j in range(form.num_sub_blocks):
            parts = [stored(form, self.kind, form.sub_block(place, j)) for place in places]
            (before,) = self.chains.before(block + j)
            self.chains.set(block + j, [self._added(before, j, parts, self.x + (block + j) * QUAD_BYTES)])

    def _store_scales(self, places: Sequence[Value]) -> None:
        if self.form.num_scales == 1:
            scale, minimum = self.form.column_scales(places)
            found = [scale], [minimum]
        else:
            each = [self.form.scales(place) for place in places]
            found = [scales for scales, _ in each], [minima for _, minima in each]
        _store_columns(found[0], self.scales)
        if self.kind.has_minimum:
            minima = [minimum for minimum in found[1] if minimum is not None]
            _store_columns(minima or [scales * -float(self.form.offset) for scales in found[0]], self.minima)

    def _added(self, before: Value, j: int, parts: Sequence[Value], x: Value) -> Value:
        """Return sums with the products of sub-block j of every row with a quad, whose record is at ``x``."""
        if not self.kind.halves:
            return self._scaled(before, j, self._dots(parts, x, (0, 1)), x, QUAD_BIAS, QUAD_DS)
        for half in range(2):
            bias, ds = QUAD_BIAS16 + 64 * half, QUAD_DS16 + 64 * half
            before = self._scaled(before, 2 * j + half, self._dots(parts, x, (half,)), x, bias, ds)
        return before

    def _dots(self, parts: Sequence[Value], x: Value, halves: Sequence[int]) -> list[Value]:
        """Return the products of every row with a quad, over one half of a sub-block or both."""
        instructions, zero = in_force(), zeros(x.b, I32, LANES)
        found: list[Value] = []
        for part in parts:
            repeated = [part.lanes([*range(16 * half, 16 * half + 16)] * QUAD) for half in halves]
            activations = [[x.load(I8, 64, 64 * half)] for half in halves]
            terms = list(zip(repeated, activations, strict=True))
            if self.kind.has_minimum:
                found += instructions.dot_small(terms, self.kind.largest)
            else:
                found += instructions.dot_signed([zero], terms)
        return found

    def _scaled(
        self, before: Value, scale: int, sums: Sequence[Value], x: Value, bias: int, ds: int
    ) -> Value:
        dots = summed_fours(sums)
        if in_force().bias and not self.kind.has_minimum:
            dots = dots + x.load(I32, LANES, bias)
        total = dots.signed(F32).fma(x.load(F32, LANES, QUAD_D) * self._repeated(self.scales, scale), before)
        if self.kind.has_minimum:
            total = self._repeated(self.minima, scale).fma(x.load(F32, LANES, ds), total)
        return total

    def _repeated(self, columns: Value, scale: int) -> Value:
        return columns.load(F32, ROWS, 16 * scale).lanes(list(range(ROWS)) * QUAD)


def _store_columns(rows: Sequence[Value], place: Value) -> None:
    """Store four rows' lanes transposed: [lane][4 rows]; one vector is a column already."""
    if len(rows) == 1:
        place.store(rows[0])
        return
    count = rows[0].count
    if count % 4:
        for i in range(count):
            place.store(vector_of([row.lane(i) for row in rows]), 16 * i)
        return
    for k, column in enumerate(transposed_fours(rows)):
        for i in range(0, count, 4):
            place.store(column.lanes(range(i, i + 4)), 16 * (i + k))


def transposed_fours(rows: Sequence[Value]) -> list[Value]:
    """Transpose each 4 x 4 lanes of four vectors."""
    a, b, c, d = rows
    halves = [(pairwise(a, b, 1, h), pairwise(c, d, 1, h)) for h in (0, 1)]
    return [pairwise(x, y, 2, h) for x, y in halves for h in (0, 1)]


def _quad_product(
    form: BlockFormat, kind: PanelKind
) -> Callable[[int, int, int, int, int, int, int, int, int], None]:
    @operation(nothing, *[i64] * 9)
    def quad_product(
        row0: Value, row1: Value, row2: Value, row3: Value, ahead: Value, num_blocks: Value, x: Value, out: Value,
        out_step: Value,
    ) -> None:  # fmt: skip
        _QuadProduct(form, kind, num_blocks, x).write([row0, row1, row2, row3], ahead, out, out_step)

    return cast("Callable[[int, int, int, int, int, int, int, int, int], None]", quad_product)


@kernel_family
def quad_products(type_name: str, largest: int) -> Callable[[int, int, int], None]:
    """Multiply rows of weights: matrix, bytes between rows, 32-column blocks a row, activation, results, their step.

    Called as ``(args, start, stop)``; the result of row r and token t goes to ``results[t][r - start]``, where up to
    ``ROWS - 1`` more are written past the last.
    """
    form = FORMATS[type_name]
    product = _quad_product(form, PanelKind(form.halves, largest))

    def multiply(args: int, start: int, stop: int) -> None:
        matrix, row_bytes, num_blocks, x = arg(args, 0), arg(args, 1), arg(args, 2), arg(args, 3)
        results, step = arg(args, 4), arg(args, 5)
        ahead = min(ROWS * row_bytes, PREFETCH)  # short rows: the same place of the next rows
        last = matrix + (stop - 1) * row_bytes
        for r in range(start, stop, ROWS):
            row = matrix + r * row_bytes
            product(
                row,
                min(row + row_bytes, last),
                min(row + 2 * row_bytes, last),
                min(row + 3 * row_bytes, last),
                ahead,
                num_blocks,
                x,
                results + 4 * (r - start),
                step,
            )

    return multiply


def quad_kernel(type_name: str) -> Kernel:
    """Return the products of a format with two to four tokens."""
    return quad_products(type_name, panel_kind(type_name).largest)
