"""Ternary formats, formats of one and two bits, and NVFP4."""

from __future__ import annotations

from collections.abc import Sequence

from jackfield_backends.cpu.emit import F32, I8, I32, Value, bits_of, constant, join
from jackfield_backends.cpu.formats.block_format import BlockFormat, duplicated, half, shifted
from jackfield_backends.cpu.formats.blocks_of_32 import Mxfp4
from jackfield_backends.cpu.instructions import in_force

__all__ = ["FORMATS"]


class _OneScale(BlockFormat):
    """A format with one float16 for the whole block."""

    offset = 1
    largest = 2
    scale_at = 0

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        return half(p, self.scale_at).splat(self.num_sub_blocks), None


class TQ1(_OneScale):
    """Five ternary digits a byte, as the fraction byte / 256 in base three."""

    scale_at = 52

    def sub_block(self, p: Value, j: int) -> Value:
        if j < 5:
            return _digit(p.load(I8, 32), 3**j)
        powers = [(1, 3), (9, 27)]
        if j < 7:
            raw = p.load(I8, 16, 32)
            return join(*(_digit(raw, power) for power in powers[j - 5]))
        last = p.load(I8, 4, 48).lanes([0, 1, 2, 3] * 4)
        factors = [power for power in (1, 3, 9, 27) for _ in range(4)]
        return join(_digit(p.load(I8, 16, 32), 81), _digit(last, factors))


def _digit(raw: Value, power: int | Sequence[int]) -> Value:
    """Return the digit after multiplying by a power of three; the byte keeps the fraction."""
    fraction = raw * raw.constant(power)
    one, two = (fraction.constant(level).below(fraction) for level in (85, 170))
    return two.choose(fraction.constant(2), one.choose(fraction.constant(1), fraction.constant(0)))


class TQ2(_OneScale):
    """Two bits a weight, laid out like Q2_K."""

    scale_at = 64
    groups = 2

    def chunks(self, p: Value) -> list[Value]:
        low = [duplicated(p.load(I8, 32, 32 * h)) for h in range(2)]
        return [shifted(low[h], [2 * j, 2 * j + 2]) & 3 for h in range(2) for j in (0, 2)]

    def sub_block(self, p: Value, j: int) -> Value:
        return shifted(p.load(I8, 32, 32 * (j // 4)), [2 * (j % 4)]) & 3


class Q1(_OneScale):
    """One bit a weight: the scale or its negative."""

    def sub_block(self, p: Value, j: int) -> Value:
        bits = bits_of(p.load(I32, 1, 2 + 4 * j))
        zero = constant(p.b, I8, 0, bits.count)
        return bits.choose(zero.constant(2), zero)


class Q2(_OneScale):
    """Two bits a weight, four neighbours a byte."""

    largest = 3

    def sub_block(self, p: Value, j: int) -> Value:
        raw = p.load(I8, 8, 2 + 8 * j).lanes([i // 4 for i in range(32)])
        return (raw & ([3, 12, 48, 192] * 8)) >> ([0, 2, 4, 6] * 8)


class Nvfp4(BlockFormat):
    """MXFP4's levels under a scale of eight bits for every 16 columns."""

    halves = True
    offset, largest = Mxfp4.offset, Mxfp4.largest

    def sub_block(self, p: Value, j: int) -> Value:
        raw = p.load(I8, 16, 4 + 16 * j).lanes([*range(8), *range(8), *range(8, 16), *range(8, 16)])
        return in_force().lookup(Mxfp4.levels, shifted(raw, [0, 4, 0, 4]) & 15)

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        code = p.load(I8, 4).unsigned(I32) & 0x7F
        exponent, mantissa = code >> 3, (code & 7).signed(F32)
        power = ((exponent + (127 - 7 - 3 - 1)) << 23).bits(F32)
        normal = (mantissa + 8.0) * power
        value = exponent.compare("==", 0).choose(mantissa * 2.0**-10, normal)
        return code.compare("==", 0x7F).choose(value.constant(0.0), value), None


FORMATS: Sequence[BlockFormat] = (TQ1("TQ1_0"), TQ2("TQ2_0"), Q1("Q1_0"), Q2("Q2_0"), Nvfp4("NVFP4"))
