"""Products of rows of weights with one activation or a few, straight from the file's bytes.

    out[t, r] = Σ_k weight[r, k] * x[t, k]

A row is walked in *stretches* of 256 columns, eight blocks of 32. The dot products of its blocks become one vector,
which is added to the chains of ``sums.py``, the lanes of another; so for every token, while the weights, unpacked once,
stay in registers.

Reads every byte of the weights once, in order, and with one token that is the time it takes. Activations are rows
(``quantize.py``); ``num_blocks`` is 32-column blocks a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from jackfield_backends.cpu.emit import F32, I8, I32, I64, Totals, Value, constant, join, loop, zeros
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.formats.block_format import BlockFormat
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.kernel import Kernel, arg, kernel_family
from jackfield_backends.cpu.linear_panels import PanelKind, panel_kind, stored
from jackfield_backends.cpu.operation import i64, nothing, operation
from jackfield_backends.cpu.quantize import (
    ROW_BIAS,
    ROW_BIAS16,
    ROW_D,
    ROW_DS,
    ROW_DS16,
    padded_blocks,
)
from jackfield_backends.cpu.sums import CHAINS, LANE_BLOCKS, summed_fours

__all__ = ["PREFETCH", "row_kernel", "row_products"]

PREFETCH = 4096  # bytes ahead; the hardware prefetcher stops at the end of a page
CHUNK = 64  # columns: four dot products of 16
STRETCH = 32 * CHAINS


class _RowProduct:
    """Writes the products of a row of weights with some activation rows."""

    def __init__(
        self, form: BlockFormat, kind: PanelKind, num_blocks: Value, inputs: Sequence[Value]
    ) -> None:
        self.form, self.kind, self.num_blocks, self.inputs = form, kind, num_blocks, inputs
        self.padded = padded_blocks(num_blocks)
        self.totals = Totals([zeros(num_blocks.b, F32, CHAINS)] * len(inputs))
        self.places = STRETCH // form.elements  # blocks of the format a stretch

    def write(self, weights: Value, out: Value, out_step: Value) -> None:
        """Write the loop over the stretches, and the storing of results."""
        builder, form = weights.b, self.form
        whole = weights.new(builder.udiv(self.num_blocks.v, weights.constant(CHAINS).v))
        num_bytes = form.num_bytes * self.places
        with loop(whole) as i:
            p = weights + i * num_bytes
            for line in range(0, num_bytes, 64):
                p.prefetch(PREFETCH + line)
            self._add([p + form.num_bytes * j for j in range(self.places)], i * CHAINS, None)
        if self.places > 1:
            left = self.num_blocks - whole * CHAINS
            with builder.if_then(left.compare(">", 0).v):
                self._add(self._left_places(weights + whole * num_bytes, left), whole * CHAINS, left)
        for t, total in enumerate(self.totals.all()):
            (out + out_step * t).store(total.total())

    def _left_places(self, p: Value, left: Value) -> list[Value]:
        """Return the places of the last blocks; those past the last repeat it, and do not count."""
        last = left.new(left.b.udiv(left.v, left.constant(self.form.num_sub_blocks).v)) - 1
        numbers = [last.constant(j) for j in range(self.places)]
        return [p + number.below(last).choose(number, last) * self.form.num_bytes for number in numbers]

    def _add(self, places: Sequence[Value], block: Value, left: Value | None) -> None:
        """Add the products of a stretch, whose first block is ``block``; only ``left`` blocks of it where given."""
        chunks, (scales, minima) = self._chunks(places), self._scales(places)
        for t, x in enumerate(self.inputs):
            total = self.totals.get(t)
            d = self._field(x, F32, ROW_D, block, left, 0)
            for half, dot in enumerate(self._dots(chunks, x, block)):
                if in_force().bias and not self.kind.has_minimum:
                    bias = ROW_BIAS16 if self.kind.halves else ROW_BIAS
                    dot = dot + self._field(x, I32, bias, block, left, half)
                total = dot.signed(F32).fma(scales[half] * d, total)
                if minima:
                    ds = self._field(x, F32, ROW_DS16 if self.kind.halves else ROW_DS, block, left, half)
                    total = minima[half].fma(ds, total)
            self.totals.set(t, total)

    def _chunks(self, places: Sequence[Value]) -> list[Value]:
        form = self.form
        if form.elements == 32:
            chunks = [form.pairs(p, q, 0)[0] for p, q in zip(places[::2], places[1::2], strict=True)]
        else:
            chunks = [chunk for place in places for chunk in form.chunks(place)]
        return [stored(form, self.kind, chunk) for chunk in chunks]

    def _scales(self, places: Sequence[Value]) -> tuple[list[Value], list[Value]]:
        """Return the blocks' scales, for formats of halves those of the second halves too, and minima likewise."""
        scales, minima = self._ordered_scales(places)
        halves = [range(CHAINS * half, CHAINS * (half + 1)) for half in range(self.kind.num_scales)]
        ordered = [scales.lanes(half) for half in halves]
        if not self.kind.has_minimum:
            return ordered, []
        if minima is None:
            return ordered, [scale * -float(self.form.offset) for scale in ordered]
        return ordered, [minima.lanes(half) for half in halves]

    def _ordered_scales(self, places: Sequence[Value]) -> tuple[Value, Value | None]:
        """Return the scales and minima of a stretch in the order of ``LANE_BLOCKS``, first halves first."""
        form, each = self.form, self.kind.num_scales
        if form.num_scales == 1:
            return form.column_scales([places[block] for block in LANE_BLOCKS])
        order = [each * block + half for half in range(each) for block in LANE_BLOCKS]
        if len(places) == 1:
            return form.ordered_scales(places[0], order)
        found = [form.scales(place) for place in places]
        minima = [minimum for _, minimum in found if minimum is not None]
        scales = joined([scale for scale, _ in found])
        return scales.lanes(order), joined(minima).lanes(order) if minima else None

    def _dots(self, chunks: Sequence[Value], x: Value, block: Value) -> list[Value]:
        """Return the products of a stretch's blocks with an activation; in formats of halves those of either half."""
        terms = [(chunk, [(x + (block + 2 * c) * 32).load(I8, CHUNK)]) for c, chunk in enumerate(chunks)]
        sums = self._fours(terms)
        first, second = ([sums.lanes(range(i, i + 4)) for i in at] for at in ((0, 8), (4, 12)))
        return [join(*first), join(*second)] if self.kind.halves else [join(*first) + join(*second)]

    def _fours(self, terms: Sequence[tuple[Value, Sequence[Value]]]) -> Value:
        instructions = in_force()
        if self.kind.has_minimum:
            return instructions.fours_small(terms, self.kind.largest)
        zero = zeros(self.num_blocks.b, I32, CHUNK // 4)
        return summed_fours([instructions.dot_signed([zero], [term])[0] for term in terms])

    def _field(
        self, x: Value, element: Any, field: int, block: Value, left: Value | None, half: int
    ) -> Value:
        each = 8 if field in (ROW_BIAS16, ROW_DS16) else 4
        value = (x + self.padded * field + block * each).load(element, CHAINS, 4 * CHAINS * half)
        if left is None:
            return value
        numbers = constant(block.b, I64, LANE_BLOCKS, CHAINS)
        return numbers.below(left.splat(CHAINS)).choose(value, 0)


def joined(parts: Sequence[Value]) -> Value:
    """Return the lanes of some values side by side; there are a power of two of them."""
    while len(parts) > 1:
        parts = [join(low, high) for low, high in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _row_product(
    form: BlockFormat, kind: PanelKind, num_tokens: int
) -> Callable[[int, int, int, int, int, int], None]:
    @operation(nothing, *[i64] * 6)
    def row_product(
        weights: Value, num_blocks: Value, x: Value, x_step: Value, out: Value, out_step: Value
    ) -> None:
        inputs = [x + x_step * t for t in range(num_tokens)]
        _RowProduct(form, kind, num_blocks, inputs).write(weights, out, out_step)

    return cast("Callable[[int, int, int, int, int, int], None]", row_product)


@kernel_family
def row_products(type_name: str, largest: int, num_tokens: int) -> Callable[[int, int, int], None]:
    """Multiply rows of weights by so many tokens.

    Matrix, bytes between rows, 32-column blocks a row, activation, results, their step, the activation's step. Called
    as ``(args, start, stop)``; the result of row r and token t goes to ``results[t][r - start]``.
    """
    form = FORMATS[type_name]
    row_product = _row_product(form, PanelKind(form.halves, largest), num_tokens)

    def multiply(args: int, start: int, stop: int) -> None:
        row_bytes, results, step, x_step = arg(args, 1), arg(args, 4), arg(args, 5), arg(args, 6)
        weights = arg(args, 0) + start * row_bytes
        num_blocks, x = arg(args, 2), arg(args, 3)
        for r in range(stop - start):
            row_product(weights + r * row_bytes, num_blocks, x, x_step, results + 4 * r, step)

    return multiply


def row_kernel(type_name: str, num_tokens: int) -> Kernel:
    """Return the products of a format with so many tokens."""
    return row_products(type_name, panel_kind(type_name).largest, num_tokens)
