"""K-quants and IQ4_XS: 256 columns a block, with small integer scales under one or two float16."""

from __future__ import annotations

from collections.abc import Sequence

from jackfield_backends.cpu.emit import F32, I8, I16, I32, Value, join
from jackfield_backends.cpu.float16 import load_half
from jackfield_backends.cpu.formats.block_format import (
    BlockFormat,
    duplicated,
    half,
    nibbles,
    shifted,
    split_nibbles,
)
from jackfield_backends.cpu.formats.blocks_of_32 import IQ4_LEVELS
from jackfield_backends.cpu.instructions import in_force

__all__ = ["FORMATS"]


def _both(p: Value, q: Value, offset: int, count: int = 32) -> Value:
    return join(p.load(I8, count, offset), q.load(I8, count, offset))


class _SmallScales(BlockFormat):
    """Small integers under one or two float16, put in order before they become floats."""

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        return self.ordered_scales(p, range(self.num_scales))


class Q4K(_SmallScales):
    """Four bits, and a fifth in Q5_K; sub-blocks 2c and 2c + 1 are the nibbles of 32 bytes."""

    has_minimum = True
    groups = 4

    def __init__(self, name: str, quants_at: int, fifth_at: int = 0) -> None:
        super().__init__(name)
        self.quants_at, self.fifth_at = quants_at, fifth_at
        self.largest = 31 if fifth_at else 15

    def sub_block(self, p: Value, j: int) -> Value:
        low = split_nibbles(p.load(I8, 32, self.quants_at + 32 * (j // 2)))[j % 2]
        return low | shifted(p.load(I8, 32, self.fifth_at), [j - 4]) & 16 if self.fifth_at else low

    def chunks(self, p: Value) -> list[Value]:
        low = [nibbles(duplicated(p.load(I8, 32, self.quants_at + 32 * c)), 32) for c in range(4)]
        if not self.fifth_at:
            return low
        fifth = duplicated(p.load(I8, 32, self.fifth_at))
        return [low[c] | shifted(fifth, [2 * c - 4, 2 * c - 3]) & 16 for c in range(4)]

    def pairs(self, p: Value, q: Value, group: int) -> list[Value]:
        low = split_nibbles(_both(p, q, self.quants_at + 32 * group))
        if not self.fifth_at:
            return low
        fifth = _both(p, q, self.fifth_at)
        return [low[i] | shifted(fifth, [2 * group + i - 4]) & 16 for i in range(2)]

    def ordered_scales(self, p: Value, order: Sequence[int]) -> tuple[Value, Value | None]:
        scales, minima = _six_bits(p, order)
        d = load_half(p, 2)
        return scales * d.lanes([0] * 8), minima * -d.lanes([1] * 8)


def _six_bits(p: Value, order: Sequence[int]) -> tuple[Value, Value]:
    """Return eight scales and eight minima of six bits, packed in twelve bytes, as floats."""
    # two float16; scales 0-3 and minima 0-3, each with two bits of 4-7; the other four bits of these
    words = p.load(I32, 4)
    high = (words.lanes([1, 2, 1, 2]) >> [0, 0, 2, 2]) & [0x3F3F3F3F, 0x3F3F3F3F, 0x30303030, 0x30303030]
    low = (words.lanes([3, 3, 3, 3]) >> [0, 0, 0, 4]) & [0, 0, 0x0F0F0F0F, 0x0F0F0F0F]
    packed = (high | low).bits(I8)  # scales 0-3, minima 0-3, scales 4-7, minima 4-7
    places = [i + 4 * (i // 4) for i in order]
    scales, minima = packed.lanes(places), packed.lanes([place + 4 for place in places])
    return scales.unsigned(F32), minima.unsigned(F32)


class Q6K(_SmallScales):
    """Six bits in four and two, half a block at a time; scales of 16 columns."""

    halves = True
    offset = 32
    largest = 63
    groups = 2

    def chunks(self, p: Value) -> list[Value]:
        chunks = []
        for h in range(2):
            low, high = p.load(I8, 64, 64 * h), duplicated(p.load(I8, 32, 128 + 32 * h))
            chunks.append(low & 15 | shifted(high, [-4, -2]) & 0x30)
            chunks.append(low >> 4 | shifted(high, [0, 2]) & 0x30)
        return chunks

    def sub_block(self, p: Value, j: int) -> Value:
        h, g = j // 4, j % 4
        low = split_nibbles(p.load(I8, 32, 64 * h + 32 * (g % 2)))[g // 2]
        return low | shifted(p.load(I8, 32, 128 + 32 * h), [2 * g - 4]) & 0x30

    def pairs(self, p: Value, q: Value, group: int) -> list[Value]:
        low = [_both(p, q, 64 * group), _both(p, q, 64 * group + 32)]
        high = _both(p, q, 128 + 32 * group)
        return [
            low[0] & 15 | shifted(high, [-4]) & 0x30,
            low[1] & 15 | shifted(high, [-2]) & 0x30,
            low[0] >> 4 | high & 0x30,
            low[1] >> 4 | shifted(high, [2]) & 0x30,
        ]

    def ordered_scales(self, p: Value, order: Sequence[int]) -> tuple[Value, Value | None]:
        return p.load(I8, 16, 192).lanes(order).signed(I32).signed(F32) * half(p, 208), None


class Q3K(_SmallScales):
    """Three bits in two and one; bytes 32h and on hold four sub-blocks, two bits each."""

    halves = True
    offset = 4
    largest = 7
    groups = 2

    def sub_block(self, p: Value, j: int) -> Value:
        low = shifted(p.load(I8, 32, 32 + 32 * (j // 4)), [2 * (j % 4)]) & 3
        return low | shifted(p.load(I8, 32), [j - 2]) & 4

    def chunks(self, p: Value) -> list[Value]:
        high = duplicated(p.load(I8, 32))
        chunks = []
        for h in range(2):
            low = duplicated(p.load(I8, 32, 32 + 32 * h))
            for j in (0, 2):
                bit = 4 * h + j
                chunks.append(shifted(low, [2 * j, 2 * j + 2]) & 3 | shifted(high, [bit - 2, bit - 1]) & 4)
        return chunks

    def pairs(self, p: Value, q: Value, group: int) -> list[Value]:
        low, high = _both(p, q, 32 + 32 * group), _both(p, q, 0)
        return [shifted(low, [2 * j]) & 3 | shifted(high, [4 * group + j - 2]) & 4 for j in range(4)]

    def ordered_scales(self, p: Value, order: Sequence[int]) -> tuple[Value, Value | None]:
        low = p.load(I32, 2, 96).lanes([0, 1, 0, 1]) >> [0, 0, 4, 4]
        high = p.load(I32, 1, 104).splat(4) >> [0, 2, 4, 6]
        scales = (low & 0x0F0F0F0F | (high & 0x03030303) << 4).bits(I8) - 32
        return scales.lanes(order).signed(I32).signed(F32) * half(p, 108), None


class Q2K(_SmallScales):
    """Two bits, a scale and a minimum of four bits for every 16 columns."""

    halves = True
    has_minimum = True
    largest = 3
    groups = 2

    def sub_block(self, p: Value, j: int) -> Value:
        return shifted(p.load(I8, 32, 16 + 32 * (j // 4)), [2 * (j % 4)]) & 3

    def chunks(self, p: Value) -> list[Value]:
        low = [duplicated(p.load(I8, 32, 16 + 32 * h)) for h in range(2)]
        return [shifted(low[h], [2 * j, 2 * j + 2]) & 3 for h in range(2) for j in (0, 2)]

    def pairs(self, p: Value, q: Value, group: int) -> list[Value]:
        low = _both(p, q, 16 + 32 * group)
        return [shifted(low, [2 * j]) & 3 for j in range(4)]

    def ordered_scales(self, p: Value, order: Sequence[int]) -> tuple[Value, Value | None]:
        packed = p.load(I8, 16).lanes(order)
        scales, minima = ((packed & 15).unsigned(F32), (packed >> 4).unsigned(F32))
        return scales * half(p, 80), minima * -half(p, 82)


class Iq4Xs(_SmallScales):
    """IQ4_NL's levels under scales of six bits; a sub-block is 16 bytes."""

    signed = True
    groups = 8

    def sub_block(self, p: Value, j: int) -> Value:
        return in_force().lookup(IQ4_LEVELS, nibbles(duplicated(p.load(I8, 16, 8 + 16 * j)), 16))

    def chunks(self, p: Value) -> list[Value]:
        twice = [*range(16), *range(16), *range(16, 32), *range(16, 32)]
        raw = [p.load(I8, 32, 8 + 32 * c).lanes(twice) for c in range(4)]
        return [in_force().lookup(IQ4_LEVELS, nibbles(r, 16)) for r in raw]

    def pairs(self, p: Value, q: Value, group: int) -> list[Value]:
        raw = join(*(duplicated(a.load(I8, 16, 8 + 16 * group)) for a in (p, q)))
        return [in_force().lookup(IQ4_LEVELS, nibbles(raw, 16))]

    def ordered_scales(self, p: Value, order: Sequence[int]) -> tuple[Value, Value | None]:
        low = (p.load(I32, 1, 4).splat(8) >> [4 * i for i in order]) & 15
        high = (p.load(I16, 1, 2).unsigned(I32).splat(8) >> [2 * i for i in order]) & 3
        return ((low | high << 4) - 32).signed(F32) * half(p, 0), None


FORMATS: Sequence[BlockFormat] = (
    Q4K("Q4_K", 16),
    Q4K("Q5_K", 48, fifth_at=16),
    Q6K("Q6_K"),
    Q3K("Q3_K"),
    Q2K("Q2_K"),
    Iq4Xs("IQ4_XS"),
)
