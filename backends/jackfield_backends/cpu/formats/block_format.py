"""What a family file says about a block format: how quants and scales come out of a block's bytes.

Everything here writes code: addresses and results are ``Value``s. A weight is ``(quant - offset) * scale``, or
``quant * scale + minimum`` in formats that have one; ``scales`` gives a lane for each 32 columns, or for each 16
in formats of ``halves``. ``sub_block`` alone makes a format complete; the others are faster ways to the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.gguf import BLOCK_FORMATS
from jackfield_backends.cpu import float16
from jackfield_backends.cpu.emit import I8, I16, Value, join, vector_of

__all__ = ["BlockFormat", "duplicated", "half", "halves_at", "nibbles", "shifted", "split_nibbles"]

SUB_BLOCK = 32


class BlockFormat:
    """A block format as kernels read it.

    Attributes:
        name: Spelt as in GGUF.
        elements: Columns of a block.
        num_bytes: Bytes of a block.
        signed: Quants are signed bytes; otherwise they are 0…127.
        halves: Scales belong to 16 columns, not 32.
        has_minimum: ``scales`` returns minima too.
        offset: What unsigned quants are less by.
        largest: Of unsigned quants.
        groups: Parts of a block that ``pairs`` unpacks one at a time.
        is_light: Unpacking two rows takes a few instructions a vector; otherwise a block is expanded in memory first.
    """

    signed = False
    halves = False
    has_minimum = False
    offset = 0
    largest = 0
    groups = 1
    is_light = True

    def __init__(self, name: str) -> None:
        form = BLOCK_FORMATS[name]
        self.name, self.elements, self.num_bytes = name, form.block_elements, form.block_bytes

    @property
    def num_sub_blocks(self) -> int:
        """Parts of 32 columns."""
        return self.elements // SUB_BLOCK

    @property
    def num_scales(self) -> int:
        """Scales of a block."""
        return self.num_sub_blocks * (2 if self.halves else 1)

    def sub_block(self, p: Value, j: int) -> Value:
        """Return the 32 quants of a part of the block at ``p``."""
        raise NotImplementedError

    def chunks(self, p: Value) -> list[Value]:
        """Return all quants of a block in vectors of 64; for formats of more than 32 columns."""
        parts = [self.sub_block(p, j) for j in range(self.num_sub_blocks)]
        return [join(low, high) for low, high in zip(parts[::2], parts[1::2], strict=True)]

    def pairs(self, p: Value, q: Value, group: int) -> list[Value]:
        """Return for each part in a group its 32 quants of the block at ``p``, then those of the one at ``q``."""
        size = self.num_sub_blocks // self.groups
        parts = range(group * size, (group + 1) * size)
        return [join(self.sub_block(p, j), self.sub_block(q, j)) for j in parts]

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        """Return the scales of a block, float32 lanes, and what is added: the minima."""
        raise NotImplementedError

    def ordered_scales(self, p: Value, order: Sequence[int]) -> tuple[Value, Value | None]:
        """Return what ``scales`` does in another order; while they are bytes it costs least."""
        scales, minima = self.scales(p)
        return scales.lanes(order), None if minima is None else minima.lanes(order)

    def column_scales(self, addresses: Sequence[Value]) -> tuple[Value, Value | None]:
        """Return a lane for each of several blocks; for formats of one scale."""
        found = [self.scales(p) for p in addresses]
        minima = [minimum for _, minimum in found if minimum is not None]
        return vector_of([scale for scale, _ in found]), vector_of(minima) if minima else None


def half(p: Value, offset: int) -> Value:
    """Return the float16 at ``offset`` as float32."""
    return float16.load_half(p, 1, offset)


def halves_at(addresses: Sequence[Value], offset: int) -> Value:
    """Return the float16 at ``offset`` of several blocks as float32 lanes."""
    return float16.half_to_float(vector_of([p.load(I16, 1, offset) for p in addresses]))


def duplicated(value: Value) -> Value:
    """Return the lanes twice."""
    return value.lanes([*range(value.count), *range(value.count)])


def nibbles(raw: Value, period: int) -> Value:
    """Return the low nibbles of ``period`` bytes, then the high ones of the next ``period``, and so on."""
    return shifted(raw, [0, 4] * (raw.count // (2 * period))) & 15


def split_nibbles(raw: Value) -> list[Value]:
    """Return the low nibbles of all bytes and the high ones."""
    return [raw & 15, raw >> 4]


def shifted(value: Value, right: Sequence[int]) -> Value:
    """Shift bytes right, negative left, by one amount for each equal part of the lanes.

    Whole 16-bit lanes are shifted: bits of the neighbour come in, which the caller masks away.
    """
    words = value.bits(I16)
    amounts = [abs(amount) for amount in right for _ in range(words.count // len(right))]
    assert all(amount >= 0 for amount in right) or all(amount <= 0 for amount in right)
    return (words << amounts if min(right) < 0 else words >> amounts).bits(I8)
