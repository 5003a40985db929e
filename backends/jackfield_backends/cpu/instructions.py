"""What one instruction set does differently from another: one table of generators each.

Everything else that kernels do is plain LLVM, which picks the instructions itself. Products of int8 come as *terms*:
a vector of weights, and for every token a vector of activations in −127…127. Four neighbouring bytes are multiplied
and summed at a time:

``dot_small(terms, largest)``   ``Σ u * a`` for every token, u in 0…largest, at most 127
``fours_small(terms, largest)`` the same for four terms of 64 columns and one token, summed further: lane 4i + j is the
                                sum over columns 16i to 16i + 15 of term j
``dot_signed(totals, terms)``   ``total + Σ w * a``, w in −128…127, given as ``stored`` made it
``stored(w)``                   signed bytes as ``dot_signed`` wants them: more by ``bias`` where the hardware
                                multiplies unsigned by signed; then totals start at ``−bias * Σ a``
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jackfield_backends.cpu.emit import (
    I8,
    I16,
    I32,
    Value,
    call,
    constant,
    join,
    lanes_of,
    zeros,
)
from jackfield_backends.cpu.isa import Isa, current, target
from jackfield_backends.cpu.sums import pairwise, summed_fours
from jackfield_backends.cpu.tile import Tile
from jackfield_backends.cpu.written_out import call_written_out

__all__ = [
    "Instructions",
    "in_force",
    "parts",
]

Dot = Callable[[Value, Value, Value], Value]
Terms = Iterable[tuple[Value, Sequence[Value]]]
SmallDot = Callable[[Terms, int], list[Value]]
SmallFours = Callable[[Terms, int], Value]
SignedDot = Callable[[Sequence[Value], Terms], list[Value]]
LARGEST_I16 = 2**15 - 1
Lookup = Callable[[Sequence[int], Value], Value]


@dataclass(frozen=True)
class Instructions:
    """One instruction set.

    Attributes:
        tile: Of the micro-kernel for block formats.
        float_tile: Of the micro-kernel for plain floats.
        float_chains: Of a sum of products with plain floats: lanes of a vector.
        bias: What ``stored`` adds to signed bytes.
        has_half: Whether float16 converts in hardware.
        lookup: Return sixteen listed bytes by lanes of indices 0…15.
        prefers_small: Whether ``dot_small`` is much faster than ``dot_signed``, so that an offset of quants is
            better repaid as a minimum than subtracted.
    """

    dot_small: SmallDot
    fours_small: SmallFours
    dot_signed: SignedDot
    tile: Tile
    float_tile: Tile
    float_chains: int
    bias: int
    has_half: bool
    lookup: Lookup
    prefers_small: bool = False

    def stored(self, quants: Value) -> Value:
        """Return signed bytes as ``dot_signed`` wants them."""
        return quants ^ self.bias if self.bias else quants


def parts(values: Sequence[Value], count: int, work: Callable[..., Value]) -> Value:
    """Apply ``work`` to pieces of ``count`` lanes of the last value, and as many of the others, and join."""
    pieces = max(1, values[-1].count // count)
    if pieces == 1:
        return work(*values)
    done = []
    for i in range(pieces):
        cut = [v.lanes(range(i * v.count // pieces, (i + 1) * v.count // pieces)) for v in values]
        done.append(work(*cut))
    while len(done) > 1:
        done = [join(low, high) for low, high in zip(done[::2], done[1::2], strict=True)]
    return done[0]


def _instruct(name: str, result: Any, arguments: Sequence[Value]) -> Value:
    """Give one instruction of the hardware, by the name of LLVM's intrinsic; those of other modules are portable."""
    if target().is_written_out:
        return call_written_out(name, result, arguments)
    return call(arguments[0].b, name, result, arguments)


# ---- AVX-512 -------------------------------------------------------------------------------------


def _small_of(dot: Dot) -> SmallDot:
    """Make ``dot_small`` of a product that adds to a total."""

    def dot_small(terms: Terms, largest: int) -> list[Value]:
        totals: list[Value] = []
        for u, tokens in terms:
            totals = totals or [zeros(u.b, I32, u.count // 4)] * len(tokens)
            totals = [dot(total, u, a) for total, a in zip(totals, tokens, strict=True)]
        return totals

    return dot_small


def _fours_of(dot_small: SmallDot) -> SmallFours:
    """Make ``fours_small`` of ``dot_small``."""

    def fours_small(terms: Terms, largest: int) -> Value:
        return summed_fours([dot_small([term], largest)[0] for term in terms])

    return fours_small


def _signed_of(dot: Dot) -> SignedDot:
    """Make ``dot_signed`` of a product that adds to a total."""

    def dot_signed(totals: Sequence[Value], terms: Terms) -> list[Value]:
        sums = list(totals)
        for w, tokens in terms:
            sums = [dot(total, w, a) for total, a in zip(sums, tokens, strict=True)]
        return sums

    return dot_signed


def _dot_vnni(total: Value, u: Value, a: Value) -> Value:
    def dot(total: Value, u: Value, a: Value) -> Value:
        return _instruct(f"llvm.x86.avx512.vpdpbusd.{8 * u.count}", total.type, [total, u, a])

    return parts([total, u, a], 64, dot)


def _lookup_avx512(table: Sequence[int], indices: Value) -> Value:
    def look(indices: Value) -> Value:
        listed = constant(indices.b, I8, list(table) * (indices.count // 16), indices.count)
        if indices.count < 64:
            return _shuffle_avx2(listed, indices)
        return _instruct("llvm.x86.avx512.pshuf.b.512", indices.type, [listed, indices])

    return parts([indices], 64, look)


# ---- AVX2 ----------------------------------------------------------------------------------------


def _pairs_avx2(u: Value, a: Value) -> Value:
    def multiply(u: Value, a: Value) -> Value:
        return _instruct("llvm.x86.avx2.pmadd.ub.sw", lanes_of(I16, 16), [u, a])

    return parts([u, a], 32, multiply)


def _fours_avx2(pairs: Value) -> Value:
    def add(pairs: Value) -> Value:
        return _instruct("llvm.x86.avx2.pmadd.wd", lanes_of(I32, 8), [pairs, pairs.constant(1)])

    return parts([pairs], 16, add)


def _num_in_16_bits(largest: int) -> int:
    """Return how many sums of two products 16 bits hold together."""
    return LARGEST_I16 // (2 * 127 * largest)


def _dot_small_avx2(terms: Terms, largest: int) -> list[Value]:
    """Add products in 16 bits as long as none can overflow, and only then widen."""
    at_once = _num_in_16_bits(largest)
    totals: list[Value] = []
    sums: list[Value] = []
    for i, (u, tokens) in enumerate(terms):
        if i and i % at_once == 0:
            totals, sums = _added(totals, [_fours_avx2(total) for total in sums]), []
        sums = _added(sums, [_pairs_avx2(u, a) for a in tokens])
    return _added(totals, [_fours_avx2(total) for total in sums])


def _fours_small_avx2(terms: Terms, largest: int) -> Value:
    """Sum as ``summed_fours`` does, but in 16 bits until a sum might overflow, so that few vectors must be widened."""
    at_once = _num_in_16_bits(largest)
    sums, element = [_pairs_avx2(u, *tokens) for u, tokens in terms], I16
    for size in (1, 2):
        if element is I16 and at_once < 2 * size:
            sums, element = [_fours_avx2(pairs) for pairs in sums], I32
        sums = [_interleaved(x, y, size, element) for x, y in zip(sums[::2], sums[1::2], strict=True)]
    return sums[0] if element is I32 else _fours_avx2(sums[0])


def _interleaved(x: Value, y: Value, size: int, element: Any) -> Value:
    low, high = (pairwise(x.bits(I32), y.bits(I32), size, i).bits(element) for i in (0, 1))
    return low + high


def _dot_signed_avx2(totals: Sequence[Value], terms: Terms) -> list[Value]:
    """Multiply |w| by a with w's sign: a pair's sum stays below 2 * 128 * 127 < 2^15."""
    sums = list(totals)
    for w, tokens in terms:
        size = _signed_avx2(w, w)
        sums = _added(sums, [_fours_avx2(_pairs_avx2(size, _signed_avx2(a, w))) for a in tokens])
    return sums


def _signed_avx2(x: Value, sign: Value) -> Value:
    def give(x: Value, sign: Value) -> Value:
        return _instruct("llvm.x86.avx2.psign.b", x.type, [x, sign])

    return parts([x, sign], 32, give)


def _added(totals: Sequence[Value], more: list[Value]) -> list[Value]:
    return [x + y for x, y in zip(totals, more, strict=True)] if totals else more


def _shuffle_avx2(listed: Value, indices: Value) -> Value:
    name = {16: "llvm.x86.ssse3.pshuf.b.128", 32: "llvm.x86.avx2.pshuf.b"}[indices.count]
    return _instruct(name, indices.type, [listed, indices])


def _lookup_avx2(table: Sequence[int], indices: Value) -> Value:
    def look(indices: Value) -> Value:
        listed = constant(indices.b, I8, list(table) * (indices.count // 16), indices.count)
        return _shuffle_avx2(listed, indices)

    return parts([indices], 32, look)


# ---- Arm -----------------------------------------------------------------------------------------


def _dot_neon(total: Value, w: Value, a: Value) -> Value:
    def dot(total: Value, w: Value, a: Value) -> Value:
        return _instruct("llvm.aarch64.neon.sdot.v4i32.v16i8", total.type, [total, w, a])

    return parts([total, w, a], 16, dot)


def _lookup_neon(table: Sequence[int], indices: Value) -> Value:
    listed = constant(indices.b, I8, list(table), 16)

    def look(indices: Value) -> Value:
        return _instruct("llvm.aarch64.neon.tbl1.v16i8", indices.type, [listed, indices])

    return parts([indices], 16, look)


# ---- everywhere ----------------------------------------------------------------------------------


def _dot_portable(total: Value, w: Value, a: Value) -> Value:
    """Widen to 16 bits, where every machine multiplies, and add neighbours twice."""

    def dot(total: Value, w: Value, a: Value) -> Value:
        x, y = w.signed(I16).signed(I32), a.signed(I16).signed(I32)
        product = x * y
        for _ in range(2):
            product = product.lanes(range(0, product.count, 2)) + product.lanes(range(1, product.count, 2))
        return total + product

    return parts([total, w, a], 16, dot)


def _lookup_portable(table: Sequence[int], indices: Value) -> Value:
    """Choose by the bits of the index, from the highest; entries with equal choices cost nothing."""

    def choose(entries: Sequence[int], bit: int) -> Value:
        if len(entries) == 1:
            return indices.constant(entries[0])
        half = len(entries) // 2
        is_set = (indices & (1 << bit)).compare("==", 1 << bit)
        return is_set.choose(choose(entries[half:], bit - 1), choose(entries[:half], bit - 1))

    return choose(table, 3)


TABLES: Mapping[Isa, Instructions] = {
    Isa.AVX512: Instructions(
        _small_of(_dot_vnni),
        _fours_of(_small_of(_dot_vnni)),
        _signed_of(_dot_vnni),
        Tile(16, (12, 8, 6, 4)),
        Tile(16, (12, 6)),
        float_chains=16,
        bias=128,
        has_half=True,
        lookup=_lookup_avx512,
    ),
    Isa.AVX2: Instructions(
        _dot_small_avx2,
        _fours_small_avx2,
        _dot_signed_avx2,
        Tile(16, (4, 3, 2)),
        Tile(16, (6,)),
        float_chains=8,
        bias=0,
        has_half=True,
        lookup=_lookup_avx2,
        prefers_small=True,
    ),
    Isa.NEON: Instructions(
        _small_of(_dot_neon),
        _fours_of(_small_of(_dot_neon)),
        _signed_of(_dot_neon),
        Tile(8, (4,)),
        Tile(8, (6,)),
        float_chains=8,
        bias=0,
        has_half=True,
        lookup=_lookup_neon,
    ),
    Isa.PORTABLE: Instructions(
        _small_of(_dot_portable),
        _fours_of(_small_of(_dot_portable)),
        _signed_of(_dot_portable),
        Tile(4, (4,)),
        Tile(4, (4,)),
        float_chains=8,
        bias=0,
        has_half=False,
        lookup=_lookup_portable,
    ),
}


def in_force() -> Instructions:
    """Return the table of the instruction set in force; for generators only."""
    return TABLES[current()]
