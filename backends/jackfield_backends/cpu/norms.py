"""Normalisation of rows or of groups of columns.

    rms:  out = x / sqrt(mean(x²) + eps) * weight        Zhang & Sennrich 2019, arXiv:1910.07467
    l2:   out = x / sqrt(Σ x² + eps)

Parallel over rows and groups. Each group is read twice (8 bytes an element) and written once. Sums are float32 in
32 lanes: within 4 ulp of float64 to a width of 16384. A NaN spreads over its group.
"""

from __future__ import annotations

import numpy as np

from jackfield.program.ops import L2Norm, RmsNorm
from jackfield_backends.cpu.fused import can_quantize_output
from jackfield_backends.cpu.kernel import arg, float_arg, kernel, load_i64, routine
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.quantize import BLOCK, quantize_block
from jackfield_backends.cpu.simd import (
    fma,
    keep_first,
    load_f32x16,
    splat,
    store_f32x16,
    store_first,
    total,
)

__all__ = []


@routine
def sum_of_squares(x: int, width: int) -> np.float32:
    """Return Σ x² of ``width`` float32 at an address."""
    even = splat(np.float32(0))
    odd = splat(np.float32(0))
    whole = width & -32
    for i in range(0, whole, 32):
        first = load_f32x16(x + 4 * i)
        second = load_f32x16(x + 4 * i + 64)
        even = fma(first, first, even)
        odd = fma(second, second, odd)
    for i in range(whole, width, 16):
        rest = keep_first(load_f32x16(x + 4 * i), width - i, np.float32(0))
        even = fma(rest, rest, even)
    result: np.float32 = total(even + odd)
    return result


@routine
def scale_row(x: int, width: int, factor: np.float32, weight: int, out: int) -> None:
    """Write ``x * factor * weight``; the weight may be absent, 0."""
    for i in range(0, width, 16):
        value = load_f32x16(x + 4 * i) * factor
        if weight:
            value = value * load_f32x16(weight + 4 * i)
        if width - i >= 16:
            store_f32x16(out + 4 * i, value)
        else:
            store_first(out + 4 * i, value, width - i)


@kernel
def norm(args: int, thread: int, num_threads: int) -> None:
    """Normalise: rows cell, x, its row bytes, out, its row bytes, groups, group, weight, step, 1 / count, eps.

    ``weight`` is 0 or an address; group g uses its entries from ``g * step`` bytes on.
    """
    x, x_bytes, out, out_bytes = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4)
    num_groups, group, weight, step = arg(args, 5), arg(args, 6), arg(args, 7), arg(args, 8)
    share, eps = float_arg(args, 9), float_arg(args, 10)
    units = load_i64(arg(args, 0)) * num_groups
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        t, g = unit // num_groups, unit % num_groups
        row = x + t * x_bytes + 4 * g * group
        factor = np.float32(1) / np.sqrt(sum_of_squares(row, group) * share + eps)
        scale_row(row, group, factor, weight + g * step, out + t * out_bytes + 4 * g * group)


@kernel
def norm_quantize(args: int, thread: int, num_threads: int) -> None:
    """Normalise whole rows and quantise them.

    Its arguments: rows cell, x, its row bytes, width, weight or 0, 1 / width, eps, out or 0, its row bytes, place of
    the copy. Fewer rows than threads are cut, and every part sums the whole row again.
    """
    x, x_bytes, width, weight = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4)
    share, eps = float_arg(args, 5), float_arg(args, 6)
    out, out_bytes, place = arg(args, 7), arg(args, 8), arg(args, 9)
    num_rows, blocks = load_i64(arg(args, 0)), width // BLOCK
    parts = 1 if num_rows >= num_threads else num_threads
    units = num_rows * parts
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        t, part = unit // parts, unit % parts
        row, to = x + t * x_bytes, out + t * out_bytes
        factor = np.float32(1) / np.sqrt(sum_of_squares(row, width) * share + eps)
        for block in range(blocks * part // parts, blocks * (part + 1) // parts):
            at = 4 * BLOCK * block
            first, second = load_f32x16(row + at) * factor, load_f32x16(row + at + 64) * factor
            if weight:
                first = first * load_f32x16(weight + at)
                second = second * load_f32x16(weight + at + 64)
            if out:
                store_f32x16(to + at, first)
                store_f32x16(to + at + 64, second)
            quantize_block(first, second, place, num_rows, t, blocks, block)


@lowers(RmsNorm)
def lower_rms_norm(lowering: Lowering, op: RmsNorm) -> None:
    """Append an RMS norm."""
    weight = 0 if op.weight is None else lowering.vector(op.weight)
    copy = lowering.output_copy(op.out) if can_quantize_output(op) else None
    if copy is not None:
        lowering.call(
            norm_quantize, lowering.num_rows_cell(op.x.rows), lowering.address(op.x), lowering.row_bytes(op.x),
            op.x.width, weight, 1 / op.x.width, op.eps, copy.rows, lowering.row_bytes(op.out), copy.place,
        )  # fmt: skip
        return
    repeated = op.weight is None or np.prod(op.weight.shape) == op.group
    lowering.call(
        norm, lowering.num_rows_cell(op.x.rows),
        lowering.address(op.x), lowering.row_bytes(op.x), lowering.address(op.out), lowering.row_bytes(op.out),
        op.x.width // op.group, op.group, weight, 0 if repeated else 4 * op.group, 1 / op.group, op.eps,
    )  # fmt: skip


@lowers(L2Norm)
def lower_l2_norm(lowering: Lowering, op: L2Norm) -> None:
    """Append an L2 norm."""
    lowering.call(
        norm, lowering.num_rows_cell(op.x.rows),
        lowering.address(op.x), lowering.row_bytes(op.x), lowering.address(op.out), lowering.row_bytes(op.out),
        op.x.width // op.group, op.group, 0, 0, 1.0, op.eps,
    )  # fmt: skip
