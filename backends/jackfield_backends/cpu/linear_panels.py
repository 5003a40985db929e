"""Products of many rows: 16 rows of weights unpacked into a panel, and the one micro-kernel that multiplies panels.

A panel holds, for each 32 columns, a record: eight vectors of 16 rows x 4 columns of int8, then the 16 rows' scales
(two vectors in formats of halves), then their minima where the panel has any. Every format unpacks to this, so all
share one micro-kernel; what is left of them is four kinds of panel.

Quants of a panel without minima are signed (as ``Instructions.stored`` wants them); with minima they are 0…127, and
the minimum, or ``-offset * scale``, is multiplied by the activation's sums.

Unpacking costs the same whatever the number of tokens: 16 rows are read side by side, which the hardware prefetcher
does not follow, so the next 16 rows are asked for meanwhile, evenly. The micro-kernel has the products of
a block with some tokens in registers, their sums on the stack, and takes as many passes as the tokens need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jackfield_backends.cpu.emit import (
    F32,
    I8,
    I32,
    Value,
    join,
    loop,
    stack_bytes,
    vector_of,
    zeros,
)
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.formats.block_format import BlockFormat
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.kernel import Kernel, arg, kernel_family
from jackfield_backends.cpu.operation import i64, nothing, operation
from jackfield_backends.cpu.quantize import (
    RECORD_BIAS,
    RECORD_BIAS16,
    RECORD_BYTES,
    RECORD_D,
    RECORD_DS,
    RECORD_DS16,
)
from jackfield_backends.cpu.sums import Chains
from jackfield_backends.cpu.tile import each_pass

__all__ = [
    "PANEL_ROWS",
    "PanelKind",
    "multiply_kernel",
    "multiply_panel",
    "panel_kind",
    "stored",
    "unpack_kernel",
    "unpack_panel",
]

PANEL_ROWS = 16
QUANTS_BYTES = 512
# row i and this one share a vector: so chosen, the last step of the transposition is one shuffle a vector
ROW_PAIRS = ((0, 4), (1, 5), (2, 6), (3, 7), (8, 12), (9, 13), (10, 14), (11, 15))


@dataclass(frozen=True)
class PanelKind:
    """What a record holds: scales of 16 or 32 columns, and minima or not.

    Attributes:
        halves: Scales belong to 16 columns.
        largest: Of quants beside minima; 0 where quants are signed and there are no minima.
    """

    halves: bool
    largest: int

    @property
    def has_minimum(self) -> bool:
        """Whether a record has minima, and unsigned quants."""
        return self.largest > 0

    @property
    def num_scales(self) -> int:
        """Scale vectors of a record."""
        return 2 if self.halves else 1

    @property
    def record_bytes(self) -> int:
        """Bytes a record."""
        return QUANTS_BYTES + 64 * self.num_scales * (2 if self.has_minimum else 1)

    def scale_at(self, half: int) -> int:
        """Return the offset of a half's scales."""
        return QUANTS_BYTES + 64 * half

    def minimum_at(self, half: int) -> int:
        """Return the offset of a half's minima."""
        return QUANTS_BYTES + 64 * (self.num_scales + half)


def panel_kind(type_name: str) -> PanelKind:
    """Return the kind of panel that a format unpacks to, on the instruction set in force."""
    form = FORMATS[type_name]
    is_small = form.has_minimum or (form.offset > 0 and in_force().prefers_small)
    return PanelKind(form.halves, form.largest if is_small else 0)


def multiply_kernel(kind: PanelKind) -> Kernel:
    """Return the micro-kernel for a kind of panel."""
    return multiply_panel(int(kind.halves), kind.largest)


def unpack_kernel(type_name: str) -> Kernel:
    """Return the unpacker of a format."""
    return unpack_panel(type_name, panel_kind(type_name).largest)


def stored(form: BlockFormat, kind: PanelKind, quants: Value) -> Value:
    """Return quants as the micro-kernel wants them: unsigned beside minima, else signed and perhaps biased."""
    if kind.has_minimum:
        return quants
    if form.signed:
        return in_force().stored(quants)
    more = in_force().bias - form.offset
    return quants + (more - 256 if more > 127 else more) if more else quants


# ---- unpacking -----------------------------------------------------------------------------------


def transposed(pairs: Sequence[Value]) -> list[Value]:
    """Turn eight vectors of two rows x eight words (``ROW_PAIRS``) into eight of sixteen rows x one word."""

    def interleaved(x: Value, y: Value, size: int, high: int) -> Value:
        mask = []
        for lane in range(0, 16, 4):
            start = lane + 2 * high
            if size == 1:
                mask += [start, start + 16, start + 1, start + 17]
            else:
                mask += [start, start + 1, start + 16, start + 17]
        return x.lanes(mask, y)

    words = [[interleaved(pairs[i], pairs[i + 1], 1, high) for high in (0, 1)] for i in range(0, 8, 2)]
    quads = []  # quads[h][j]: word j of four rows, word 4 + j of them, and the same of the four rows after
    for h in (0, 2):
        low, high = words[h], words[h + 1]
        quads.append([interleaved(low[j // 2], high[j // 2], 2, j % 2) for j in range(4)])
    result = []
    for half in (0, 1):
        lanes = [4 * half + i for i in range(4)] + [8 + 4 * half + i for i in range(4)]
        mask = lanes + [16 + lane for lane in lanes]
        result += [quads[0][j].lanes(mask, quads[1][j]) for j in range(4)]
    return result


def _columns(rows: Sequence[Value]) -> list[Value]:
    """Turn sixteen vectors of float32, a row's each, into vectors of sixteen rows."""
    count = rows[0].count
    if count % 8:
        return [vector_of([row.lane(i) for row in rows]) for i in range(count)]
    columns = []
    for start in range(0, count, 8):
        part = [row.lanes(range(start, start + 8)) for row in rows]
        columns += transposed([join(part[i], part[j]) for i, j in ROW_PAIRS])
    return columns


class _Unpacking:
    """Writes the unpacking of one step of sixteen rows: a block, or a block of 32 columns."""

    def __init__(self, form: BlockFormat, kind: PanelKind) -> None:
        self.form, self.kind = form, kind

    def write(self, block: Value, row_bytes: Value, panel: Value, ahead: Value) -> None:
        rows = [block + row_bytes * r for r in range(PANEL_ROWS)]
        if not self.form.is_light:
            self._expand(block, row_bytes)
        groups = self.form.groups
        size = self.form.num_sub_blocks // groups
        lines = -(-PANEL_ROWS * self.form.num_bytes // 64)
        for group in range(groups):
            for line in range(group * lines // groups, (group + 1) * lines // groups):
                ahead.prefetch(64 * line, level=2)
            quants = [self._pairs(rows, i, j, group) for i, j in ROW_PAIRS]
            for k in range(size):
                words = [stored(self.form, self.kind, pair[k]).bits(I32) for pair in quants]
                for g, vector in enumerate(transposed(words)):
                    panel.store(vector, self.kind.record_bytes * (group * size + k) + 64 * g)
        self._scales(rows, panel)

    def _expand(self, block: Value, row_bytes: Value) -> None:
        """Write the quants of every row's block to the stack, in a loop: unrolled, the code would be too long."""
        self.expanded = stack_bytes(block, PANEL_ROWS * self.form.elements)
        with loop(block.constant(PANEL_ROWS)) as r:
            for j in range(self.form.num_sub_blocks):
                quants = self.form.sub_block(block + row_bytes * r, j)
                (self.expanded + r * self.form.elements).store(quants, 32 * j)

    def _pairs(self, rows: Sequence[Value], i: int, j: int, group: int) -> list[Value]:
        if self.form.is_light:
            return self.form.pairs(rows[i], rows[j], group)
        offset = 32 * group
        return [join(*(self.expanded.load(I8, 32, self.form.elements * r + offset) for r in (i, j)))]

    def _scales(self, rows: Sequence[Value], panel: Value) -> None:
        scales, minima = self._columns_of(rows)
        per_record = self.kind.num_scales
        for i, column in enumerate(scales):
            panel.store(
                column, self.kind.record_bytes * (i // per_record) + self.kind.scale_at(i % per_record)
            )
        if not self.kind.has_minimum:
            return
        lowest = minima or [column * -float(self.form.offset) for column in scales]
        for i, column in enumerate(lowest):
            panel.store(
                column, self.kind.record_bytes * (i // per_record) + self.kind.minimum_at(i % per_record)
            )

    def _columns_of(self, rows: Sequence[Value]) -> tuple[list[Value], list[Value]]:
        if self.form.num_scales == 1:
            scale, minimum = self.form.column_scales(rows)
            return [scale], [] if minimum is None else [minimum]
        found = [self.form.scales(p) for p in rows]
        minima = [minimum for _, minimum in found if minimum is not None]
        return _columns([scale for scale, _ in found]), _columns(minima) if minima else []


@kernel_family
def unpack_panel(type_name: str, largest: int) -> Callable[[int, int, int], None]:
    """Unpack sixteen rows: matrix, bytes between rows, 32-column blocks a row.

    Called as ``(args, first row, panel)``.
    """
    form = FORMATS[type_name]
    kind = PanelKind(form.halves, largest)
    num_bytes, num_sub_blocks = form.num_bytes, form.num_sub_blocks
    unpack_block = _unpack_block(form, kind)
    record_bytes = kind.record_bytes

    def unpack(args: int, first: int, panel: int) -> None:
        row_bytes = arg(args, 1)
        weights = arg(args, 0) + first * row_bytes
        ahead = weights + PANEL_ROWS * row_bytes
        for i in range(arg(args, 2) // num_sub_blocks):
            unpack_block(
                weights + i * num_bytes,
                row_bytes,
                panel + i * num_sub_blocks * record_bytes,
                ahead + i * PANEL_ROWS * num_bytes,
            )

    return unpack


def _unpack_block(form: BlockFormat, kind: PanelKind) -> Callable[[int, int, int, int], None]:
    @operation(nothing, *[i64] * 4)
    def unpack_block(block: Value, row_bytes: Value, panel: Value, ahead: Value) -> None:
        _Unpacking(form, kind).write(block, row_bytes, panel, ahead)

    return unpack_block


# ---- multiplying ---------------------------------------------------------------------------------


class _Product:
    """Writes the product of some rows of a panel with some tokens of a tile."""

    def __init__(self, kind: PanelKind, lanes: int, num_tokens: int) -> None:
        self.kind, self.lanes, self.num_tokens = kind, lanes, num_tokens
        self.instructions = in_force()

    def write(self, panel: Value, num_blocks: Value, x: Value, first: Value, out: Value) -> None:
        chains = Chains(num_blocks, self.num_tokens, self.lanes)
        with loop(num_blocks) as i:
            self._block(i, panel + i * self.kind.record_bytes, x + i * RECORD_BYTES, first, chains)
        for t, total in enumerate(chains.totals()):
            out.store(total, 4 * PANEL_ROWS * t)

    def _block(self, block: Value, record: Value, x: Value, first: Value, chains: Chains) -> None:
        q, words, pairs = x + first * 32, x + first * 4, x + first * 8
        lanes, halves = self.lanes, self.kind.num_scales
        sums: list[Value] = []
        for half in range(halves):
            groups = range(8 // halves * half, 8 // halves * (half + 1))
            terms = ((record.load(I8, 4 * lanes, 64 * g), self._activations(q, g)) for g in groups)
            if self.kind.has_minimum:
                totals = self.instructions.dot_small(terms, self.kind.largest)
            else:
                starts = [self._start(words, pairs, t, half) for t in range(self.num_tokens)]
                totals = self.instructions.dot_signed(starts, terms)
            scale = record.load(F32, lanes, self.kind.scale_at(half))
            sums = sums or chains.before(block)
            for t, total in enumerate(totals):
                d = words.load(F32, 1, RECORD_D + 4 * t).splat(lanes)
                sums[t] = total.signed(F32).fma(scale * d, sums[t])
                if self.kind.has_minimum:
                    minimum = record.load(F32, lanes, self.kind.minimum_at(half))
                    sums[t] = minimum.fma(self._sum(words, pairs, t, half).splat(lanes), sums[t])
        chains.set(block, sums)

    def _activations(self, q: Value, group: int) -> list[Value]:
        """Return four columns of every token, once for each row."""
        places = (32 * t + 4 * group for t in range(self.num_tokens))
        return [q.load(I32, 1, place).splat(self.lanes).bits(I8) for place in places]

    def _start(self, words: Value, pairs: Value, t: int, half: int) -> Value:
        lanes = self.lanes
        if self.kind.has_minimum or not self.instructions.bias:
            return zeros(words.b, I32, lanes)
        if self.kind.halves:
            return pairs.load(I32, 1, RECORD_BIAS16 + 8 * t + 4 * half).splat(lanes)
        return words.load(I32, 1, RECORD_BIAS + 4 * t).splat(lanes)

    def _sum(self, words: Value, pairs: Value, t: int, half: int) -> Value:
        if self.kind.halves:
            return pairs.load(F32, 1, RECORD_DS16 + 8 * t + 4 * half)
        return words.load(F32, 1, RECORD_DS + 4 * t)


@kernel_family
def multiply_panel(halves: int, largest: int) -> Callable[[int, int, int], None]:
    """Multiply a panel by the first tokens of a tile: 32-column blocks a row, results, tokens.

    Called as ``(args, panel, first record of the tile)``; results are ``[tokens][16]``, and of the last pass those of
    slots past the last token too.
    """
    products = _products(PanelKind(bool(halves), largest))

    def multiply(args: int, panel: int, x: int) -> None:
        products(panel, arg(args, 0), x, arg(args, 2), arg(args, 1))

    return multiply


def _products(kind: PanelKind) -> Callable[[int, int, int, int, int], None]:
    @operation(nothing, *[i64] * 5)
    def products(panel: Value, num_blocks: Value, x: Value, num_tokens: Value, out: Value) -> None:
        tile = in_force().tile
        for size, first in each_pass(tile, num_tokens):
            product = _Product(kind, tile.rows, size)
            with loop(panel.constant(4 * PANEL_ROWS), step=4 * tile.rows) as rows:
                product.write(panel + rows, num_blocks, x, first, out + first * (4 * PANEL_ROWS) + rows)

    return products
