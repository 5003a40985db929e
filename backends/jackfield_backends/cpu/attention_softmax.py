"""The softmax of attention, a block of keys after the other, and the sums of one part of the keys after another.

Scores count in powers of two, since 2^s takes half the work of e^s. A row's *sums* are two float32: the maximum m of
its scores so far and the sum l of 2^(s - m); its *products* are Σ 2^(s - m) v. Blocks and parts begin at multiples of
their size and are added in the order of positions, so what a row gets does not depend on the rows beside it, nor on
who computes which part.

A masked key weighs nothing, a row that has seen none has m = ``MASKED``; adding it changes no bit. NaN spreads.
Source: Milakov & Gimelshein 2018, arXiv:1805.02867.
"""

from __future__ import annotations

import numpy as np

from jackfield_backends.cpu.emit import I32, Value, constant
from jackfield_backends.cpu.kernel import routine
from jackfield_backends.cpu.kv_layout import PANEL
from jackfield_backends.cpu.operation import i64, operation
from jackfield_backends.cpu.simd import (
    exp2,
    exp2_one,
    f32x16,
    fma,
    greatest,
    load_f32,
    load_f32x16,
    maximum,
    splat,
    store_f32,
    store_f32x16,
    tanh,
    total,
)

__all__ = ["MASKED", "SUMS_BYTES", "add_part", "begin_row", "first_seen", "weigh_block"]

MASKED = np.float32(-1e30)  # not -infinity: the difference of two must be a number
F0, F1 = np.float32(0), np.float32(1)
SUMS_BYTES = 64  # a cache line, for the sake of what follows


@operation(f32x16, f32x16, i64, i64)
def keep_between(value: Value, start: Value, stop: Value) -> Value:
    """Keep lanes from ``start`` to ``stop``, mask the others."""
    numbers = constant(value.b, I32, list(range(16)), 16)
    late = numbers.compare("<", stop.signed(I32).splat(16))
    early = numbers.compare("<", start.signed(I32).splat(16))
    kept = late.choose(value, float(MASKED))
    return early.choose(kept.constant(float(MASKED)), kept)


@routine
def first_seen(origin: int, window: int) -> int:
    """Return the first position that a row sees whose window is measured from ``origin``; 0 for no window."""
    return max(0, origin - window + 1) if window else 0


@routine
def begin_row(sums: int, products: int, columns: int) -> None:
    """Let a row have seen nothing; ``columns`` counts vectors of its products."""
    store_f32(sums, MASKED)
    store_f32(sums + 4, F0)
    for c in range(columns):
        store_f32x16(products + 64 * c, splat(F0))


@routine
def cap_and_mask(scores: int, start: int, stop: int, first: int, last: int, softcap: np.float32) -> None:
    """Bound scores of panels ``first`` to ``last`` to ±softcap, unless 0, and mask keys outside start to stop."""
    for p in range(first, last):
        at, begin, end = scores + 64 * p, start - PANEL * p, stop - PANEL * p
        if softcap != F0:
            store_f32x16(at, tanh(load_f32x16(at) / softcap) * softcap)
        if begin > 0 or end < PANEL:
            store_f32x16(at, keep_between(load_f32x16(at), begin, end))


@routine
def weigh_block(
    scores: int, start: int, stop: int, first: int, last: int, softcap: np.float32, sums: int, products: int,
    columns: int,
) -> None:  # fmt: skip
    """Turn a row of scores into weights relative to the row's maximum so far, and its sums and products with them.

    Args:
        start: The first key the row sees, counted from the block's first.
        stop: The first key it no longer sees.
        first: The first panel that was multiplied.
        last: One more than the last.
        columns: Counts vectors of products.
    """
    cap_and_mask(scores, start, stop, first, last, softcap)
    top = splat(load_f32(sums))
    for p in range(first, last):
        top = maximum(top, load_f32x16(scores + 64 * p))
    old, new = load_f32(sums), greatest(top)
    base = splat(F0 if new == MASKED else new)
    weights = splat(F0)
    for p in range(first, last):
        weight = exp2(load_f32x16(scores + 64 * p) - base)
        store_f32x16(scores + 64 * p, weight)
        weights = weights + weight
    shrink = exp2_one(old - new)
    store_f32(sums, new)
    store_f32(sums + 4, load_f32(sums + 4) * shrink + total(weights))
    if shrink != F1:  # in most blocks nothing is greater than before
        for c in range(0, 64 * columns, 64):
            store_f32x16(products + c, load_f32x16(products + c) * shrink)


@routine
def add_part(sums: int, products: int, part_sums: int, part_products: int, columns: int) -> None:
    """Add the sums and products of the next part of the keys to a row's."""
    old, other = load_f32(sums), load_f32(part_sums)
    new = max(old, other)
    keep, take = exp2_one(old - new), exp2_one(other - new)
    store_f32(sums, new)
    store_f32(sums + 4, load_f32(sums + 4) * keep + load_f32(part_sums + 4) * take)
    for c in range(0, 64 * columns, 64):
        value = load_f32x16(products + c) * keep
        store_f32x16(products + c, fma(load_f32x16(part_products + c), splat(take), value))
