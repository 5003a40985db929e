"""Formats of 32 columns a block: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL and MXFP4.

A block is a scale, perhaps a minimum, perhaps fifth bits, and quants. Nibbles of byte j are columns j and j + 16.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jackfield_backends.cpu.emit import (
    F32,
    I8,
    I32,
    I64,
    Value,
    bits_of,
    constant,
    data_address,
    join,
)
from jackfield_backends.cpu.formats.block_format import BlockFormat, duplicated, half, halves_at, nibbles
from jackfield_backends.cpu.instructions import in_force

__all__ = ["FORMATS", "IQ4_LEVELS"]

# the sixteen levels of IQ4_NL and IQ4_XS, and of the 4-bit floats in halves
IQ4_LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
MXFP4_LEVELS = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)


class _HalfScale(BlockFormat):
    """A block that begins with its float16 scale."""

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        minimum = half(p, 2) if self.has_minimum else None
        return half(p, 0), minimum

    def column_scales(self, addresses: Sequence[Value]) -> tuple[Value, Value | None]:
        return halves_at(addresses, 0), halves_at(addresses, 2) if self.has_minimum else None


class SignedBytes(_HalfScale):
    """Signed bytes."""

    signed = True

    def sub_block(self, p: Value, j: int) -> Value:
        return p.load(I8, 32, 2)


class NibbleBlock(_HalfScale):
    """Quants of four bits, or five: the fifth bits are a word of their own."""

    def __init__(self, name: str, quants_at: int, *, fifth_at: int = 0, offset: int = 0) -> None:
        super().__init__(name)
        self.quants_at, self.fifth_at = quants_at, fifth_at
        self.offset, self.has_minimum = offset, not offset
        self.largest = 31 if fifth_at else 15

    def sub_block(self, p: Value, j: int) -> Value:
        low = self._low(p)
        return low | self._fifth(p.load(I32, 1, self.fifth_at)) if self.fifth_at else low

    def pairs(self, p: Value, q: Value, group: int) -> list[Value]:
        low = nibbles(join(*(duplicated(a.load(I8, 16, self.quants_at)) for a in (p, q))), 16)
        if not self.fifth_at:
            return [low]
        first, second = (a.load(I32, 1, self.fifth_at).unsigned(I64) for a in (p, q))
        return [low | self._fifth(first | second << 32)]

    def _low(self, p: Value) -> Value:
        return nibbles(duplicated(p.load(I8, 16, self.quants_at)), 16)

    def _fifth(self, word: Value) -> Value:
        bits = bits_of(word)
        zero = constant(word.b, I8, 0, bits.count)
        return bits.choose(zero.constant(16), zero)


class Iq4Nl(_HalfScale):
    """Four bits that choose among uneven levels."""

    signed = True

    def sub_block(self, p: Value, j: int) -> Value:
        return in_force().lookup(IQ4_LEVELS, nibbles(duplicated(p.load(I8, 16, 2)), 16))

    def pairs(self, p: Value, q: Value, group: int) -> list[Value]:
        raw = join(*(duplicated(a.load(I8, 16, 2)) for a in (p, q)))
        return [in_force().lookup(IQ4_LEVELS, nibbles(raw, 16))]


class Mxfp4(BlockFormat):
    """Floats of four bits that share a power of two."""

    offset = 12
    largest = 24
    levels = tuple(level + 12 for level in MXFP4_LEVELS)

    def sub_block(self, p: Value, j: int) -> Value:
        return in_force().lookup(self.levels, nibbles(duplicated(p.load(I8, 16, 1)), 16))

    def pairs(self, p: Value, q: Value, group: int) -> list[Value]:
        raw = join(*(duplicated(a.load(I8, 16, 1)) for a in (p, q)))
        return [in_force().lookup(self.levels, nibbles(raw, 16))]

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        """Return 2^(e - 128), looked up: computing it for two blocks takes longer than their products."""
        table = data_address(p.b, "halved_powers", POWERS)
        return (table + p.load(I8).unsigned(I64) * 4).load(F32), None


POWERS = np.ldexp(np.float32(1), np.arange(-128, 128)).astype("<f4").tobytes()
"""For each exponent byte its scale: half of the power that it stands for, as the levels are doubled."""


FORMATS: Sequence[BlockFormat] = (
    SignedBytes("Q8_0"),
    NibbleBlock("Q4_0", 2, offset=8),
    NibbleBlock("Q4_1", 4),
    NibbleBlock("Q5_0", 6, fifth_at=2, offset=16),
    NibbleBlock("Q5_1", 8, fifth_at=4),
    Iq4Nl("IQ4_NL"),
    Mxfp4("MXFP4"),
)
