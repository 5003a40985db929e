"""Formats that store indices into a fixed grid of patterns: IQ1, IQ2 and IQ3.

Eight columns (four in IQ3) are a pattern looked up in a table, which lies beside the code. Signs come as bits: eight
for eight columns, or seven and a parity. Quants are whole numbers in every one of them: IQ1's shift of an eighth is
taken into the patterns, eight times as large.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from jackfield.gguf.dequantizers.grids import grid_of
from jackfield_backends.cpu.emit import F32, I8, I16, I32, I64, Value, bits_of, data_address, vector_of
from jackfield_backends.cpu.float16 import half_to_float
from jackfield_backends.cpu.formats.block_format import BlockFormat, half

__all__ = ["FORMATS"]

PATTERN_SCALE = {"IQ1_S": 8}


@functools.cache
def _table(name: str) -> bytes:
    return (grid_of(name) * PATTERN_SCALE.get(name, 1)).astype(np.int8).tobytes()


def _patterns(name: str, indices: Sequence[Value]) -> Value:
    """Return the patterns of some indices, side by side."""
    size = 32 // len(indices)
    table = data_address(indices[0].b, f"grid_{name}", _table(name))
    element = {8: I64, 4: I32}[size]
    return vector_of([(table + index.unsigned(I64) * size).load(element) for index in indices]).bits(I8)


def _signed(patterns: Value, bits: Value) -> Value:
    """Negate the columns whose bit is set in a word of 32."""
    return bits_of(bits).choose(-patterns, patterns)


def _with_parity(masks: Value) -> Value:
    """Return four bytes as a word: seven bits of each lane, and an eighth that makes their number even."""
    folded = masks ^ masks >> 4
    folded = folded ^ folded >> 2
    parity = (folded ^ folded >> 1) & 1
    return (masks | parity << 7).signed(I8).bits(I32)


def _nibbles(p: Value, offset: int, count: int) -> Value:
    """Return nibbles from ``offset`` on, the low one of each byte first."""
    raw = p.load(I8, count // 2, offset).unsigned(I32).lanes([i // 2 for i in range(count)])
    return (raw >> [4 * (i % 2) for i in range(count)]) & 15


class _Grid(BlockFormat):
    """A format of patterns; ``offset`` is their largest number, which makes quants unsigned."""

    groups = 8
    is_light = False

    def sub_block(self, p: Value, j: int) -> Value:
        return self.signed_sub_block(p, j) + self.offset

    def signed_sub_block(self, p: Value, j: int) -> Value:
        """Return the 32 whole numbers of a part of the block."""
        raise NotImplementedError


class Iq2Xxs(_Grid):
    """Four indices, then four sign masks of seven bits and a scale of four, for every 32 columns."""

    offset, largest = 43, 86

    def signed_sub_block(self, p: Value, j: int) -> Value:
        patterns = _patterns(self.name, [p.load(I8, 1, 2 + 8 * j + k) for k in range(4)])
        word = p.load(I32, 1, 6 + 8 * j)
        return _signed(patterns, _with_parity((word.splat(4) >> [0, 7, 14, 21]) & 127))

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        words = p.load(I32, 16, 2).lanes(range(1, 16, 2))
        return ((words >> 28).signed(F32) + 0.5) * (half(p, 0) * 0.25), None


class Iq2Xs(_Grid):
    """Nine bits of index and seven of signs for every 8 columns; scales of 16 columns."""

    offset, largest = 43, 86
    halves = True

    def signed_sub_block(self, p: Value, j: int) -> Value:
        words = p.load(I16, 4, 2 + 8 * j).unsigned(I32)
        patterns = _patterns(self.name, [(words & 511).lane(k) for k in range(4)])
        return _signed(patterns, _with_parity(words >> 9))

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        return (_nibbles(p, 66, 16).signed(F32) + 0.5) * (half(p, 0) * 0.25), None


class Iq2S(_Grid):
    """Ten bits of index, eight of signs for every 8 columns; scales of 16 columns."""

    offset, largest = 43, 86
    halves = True

    def signed_sub_block(self, p: Value, j: int) -> Value:
        low = p.load(I8, 4, 2 + 4 * j).unsigned(I32)
        high = p.load(I8, 1, 66 + j).unsigned(I32).splat(4) >> [0, 2, 4, 6]
        indices = low | (high & 3) << 8
        return _signed(_patterns(self.name, [indices.lane(k) for k in range(4)]), p.load(I32, 1, 34 + 4 * j))

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        return (_nibbles(p, 74, 16).signed(F32) + 0.5) * (half(p, 0) * 0.25), None


class Iq3Xxs(_Grid):
    """An index for every 4 columns; four sign masks of seven bits and a scale of four for every 32."""

    offset, largest = 62, 124

    def signed_sub_block(self, p: Value, j: int) -> Value:
        patterns = _patterns(self.name, [p.load(I8, 1, 2 + 8 * j + k) for k in range(8)])
        word = p.load(I32, 1, 66 + 4 * j)
        return _signed(patterns, _with_parity((word.splat(4) >> [0, 7, 14, 21]) & 127))

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        return ((p.load(I32, 8, 66) >> 28).signed(F32) + 0.5) * (half(p, 0) * 0.5), None


class Iq3S(_Grid):
    """Nine bits of index for every 4 columns, a sign each, scales of 32 columns."""

    offset, largest = 15, 30

    def signed_sub_block(self, p: Value, j: int) -> Value:
        low = p.load(I8, 8, 2 + 8 * j).unsigned(I32)
        high = p.load(I8, 1, 66 + j).unsigned(I32).splat(8) >> list(range(8))
        indices = low | (high & 1) << 8
        return _signed(_patterns(self.name, [indices.lane(k) for k in range(8)]), p.load(I32, 1, 74 + 4 * j))

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        return (_nibbles(p, 106, 8).signed(F32) * 2.0 + 1.0) * half(p, 0), None


def _shifted(low: Value, high: Value, is_down: Value) -> Value:
    """Return IQ1's patterns of four indices, each moved up or down."""
    indices = low.unsigned(I32) | (high & 7) << 8
    move = is_down.choose(low.constant(-1), low.constant(1))
    each = move.lanes([i // 8 for i in range(32)])
    return _patterns("IQ1_S", [indices.lane(k) for k in range(4)]) + each


class Iq1S(_Grid):
    """Eleven bits of index for every 8 columns; for every 32 a scale of three bits and the shift's sign."""

    offset, largest = 9, 18

    def signed_sub_block(self, p: Value, j: int) -> Value:
        word = p.load(I16, 1, 34 + 2 * j).unsigned(I32).splat(4)
        is_down = (word & 0x8000).compare("==", 0x8000)
        return _shifted(p.load(I8, 4, 2 + 4 * j), word >> [0, 3, 6, 9], is_down)

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        small = (p.load(I16, 8, 34).unsigned(I32) >> 12) & 7
        return (small.signed(F32) * 2.0 + 1.0) * (half(p, 0) * 0.125), None


class Iq1M(_Grid):
    """As IQ1_S, with a shift for every 8 columns and a scale for every 16; ``d`` is spread over four words."""

    offset, largest = 9, 18
    halves = True

    def signed_sub_block(self, p: Value, j: int) -> Value:
        high = (p.load(I16, 1, 32 + 2 * j).unsigned(I32).splat(4) >> [0, 4, 8, 12]) & 15
        return _shifted(p.load(I8, 4, 4 * j), high, (high & 8).compare("==", 8))

    def scales(self, p: Value) -> tuple[Value, Value | None]:
        word = p.load(I64, 1, 48)
        parts = [(word >> (12 + 16 * i)) & 15 for i in range(4)]
        d = half_to_float((parts[0] | parts[1] << 4 | parts[2] << 8 | parts[3] << 12).signed(I16))
        words = p.load(I16, 4, 48).unsigned(I32).lanes([i // 4 for i in range(16)])
        small = (words >> [0, 3, 6, 9] * 4) & 7
        return (small.signed(F32) * 2.0 + 1.0) * (d * 0.125), None


FORMATS: Sequence[BlockFormat] = (
    Iq2Xxs("IQ2_XXS"),
    Iq2Xs("IQ2_XS"),
    Iq2S("IQ2_S"),
    Iq3Xxs("IQ3_XXS"),
    Iq3S("IQ3_S"),
    Iq1S("IQ1_S"),
    Iq1M("IQ1_M"),
)
