"""Choose experts for every row.

    π = softmax(logits) | σ(logits) | logits;  idx = the k largest of π + bias, ties to the lower index
    w = π[idx], for softmax_selected softmax over them;  normalised and scaled if asked

With groups, only the groups whose two best sum highest are eligible. Parallel over rows: a row is a few hundred
experts. A NaN is chosen last; it spreads to all weights of its row through the softmax's sum.
Letters: T rows, E experts, k experts a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jackfield.program import RouterScore
from jackfield.program.ops import RouteTopK
from jackfield_backends.cpu.kernel import arg, float_arg, kernel_family, load_i64, routine
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.memory import aligned
from jackfield_backends.cpu.simd import (
    exp,
    first_equal,
    greatest,
    keep_first,
    load_f32,
    load_f32x16,
    maximum,
    sigmoid,
    splat,
    store_f32,
    store_f32x16,
    store_i32,
    total,
)

__all__ = []

F0, F1 = np.float32(0), np.float32(1)
LOWEST, NOTHING = np.float32(-np.inf), np.float32(np.nan)
SMALLEST_SUM = np.float32(2**-14)


@routine
def softmax(x: int, count: int, out: int) -> None:
    """Write the softmax of ``count`` float32; whole vectors are written."""
    top = splat(LOWEST)
    for i in range(0, count, 16):
        top = maximum(top, keep_first(load_f32x16(x + 4 * i), count - i, LOWEST))
    highest = greatest(top)
    weights = splat(F0)
    for i in range(0, count, 16):
        value = keep_first(exp(load_f32x16(x + 4 * i) - highest), count - i, F0)
        store_f32x16(out + 4 * i, value)
        weights = weights + value
    share = F1 / total(weights)
    for i in range(0, count, 16):
        store_f32x16(out + 4 * i, load_f32x16(out + 4 * i) * share)


@routine
def largest(values: int, count: int) -> int:
    """Return the index of the largest, the lowest of equals; NaN counts as the smallest."""
    top = splat(LOWEST)
    for i in range(0, count, 16):
        top = maximum(top, keep_first(load_f32x16(values + 4 * i), count - i, NOTHING))
    highest = greatest(top)
    for i in range(0, count, 16):
        lane = first_equal(keep_first(load_f32x16(values + 4 * i), count - i, NOTHING), highest)
        if lane < 16:
            return i + lane
    return 0


@routine
def rule_out_groups(eligible: int, num_experts: int, groups: int, used: int, sums: int) -> None:
    """Mark the experts of all but the ``used`` best groups with NaN: never chosen before others."""
    size = num_experts // groups
    for g in range(groups):
        start = eligible + 4 * g * size
        first = largest(start, size)
        best = load_f32(start + 4 * first)
        second = LOWEST if size > 1 else F0
        for i in range(size):
            if i != first:
                second = max(second, load_f32(start + 4 * i))
        store_f32(sums + 4 * g, best + second)
    for _ in range(used):
        store_f32(sums + 4 * largest(sums, groups), np.float32(np.nan))
    for g in range(groups):
        if load_f32(sums + 4 * g) == load_f32(sums + 4 * g):
            for i in range(size):
                store_f32(eligible + 4 * (g * size + i), LOWEST)


@kernel_family
def route(score: str) -> Any:
    """Make the kernel of a score.

    Its arguments: rows cell, logits, their row bytes, E, bias or 0, normalise, scale, groups, groups used, experts,
    their row bytes, weights, their row bytes, k, scratch.
    """
    is_softmax, is_sigmoid = score == RouterScore.SOFTMAX, score == RouterScore.SIGMOID

    def run(args: int, thread: int, num_threads: int) -> None:
        logits, row_bytes, num_experts, bias = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4)
        normalize, scale, groups, used = arg(args, 5), float_arg(args, 6), arg(args, 7), arg(args, 8)
        experts, expert_bytes, weights, weight_bytes = (
            arg(args, 9),
            arg(args, 10),
            arg(args, 11),
            arg(args, 12),
        )
        k = arg(args, 13)
        scores = load_i64(arg(args, 14)) + thread * load_i64(arg(args, 14) + 8)
        eligible = scores + 4 * num_experts + 64
        sums = eligible + 4 * num_experts + 64
        num_rows = load_i64(arg(args, 0))
        for t in range(num_rows * thread // num_threads, num_rows * (thread + 1) // num_threads):
            row, chosen, shares = (
                logits + t * row_bytes,
                experts + t * expert_bytes,
                weights + t * weight_bytes,
            )
            if is_softmax:
                softmax(row, num_experts, scores)
            for i in range(0, num_experts, 16):
                if is_sigmoid:
                    store_f32x16(scores + 4 * i, sigmoid(load_f32x16(row + 4 * i)))
                elif not is_softmax:
                    store_f32x16(scores + 4 * i, load_f32x16(row + 4 * i))
                value = load_f32x16(scores + 4 * i)
                store_f32x16(eligible + 4 * i, value + load_f32x16(bias + 4 * i) if bias else value)
            if groups > 1:
                rule_out_groups(eligible, num_experts, groups, used, sums)
            for j in range(k):
                best = largest(eligible, num_experts)
                store_f32(eligible + 4 * best, np.float32(np.nan))
                store_i32(chosen + 4 * j, best)
                store_f32(sums + 4 * j, load_f32(scores + 4 * best))
            if not (is_softmax or is_sigmoid):
                softmax(sums, k, sums)
            whole = F0
            for j in range(k):
                whole += load_f32(sums + 4 * j)
            factor = scale
            if normalize:
                factor = scale / (SMALLEST_SUM if whole < SMALLEST_SUM else whole)
            for j in range(k):
                store_f32(shares + 4 * j, load_f32(sums + 4 * j) * factor)

    return run


@lowers(RouteTopK)
def lower_route(lowering: Lowering, op: RouteTopK) -> None:
    """Append the choice of experts."""
    num_experts, k = op.logits.width, op.out_experts.width
    scratch = 8 * num_experts + 128 + 4 * max(k, op.groups) + 64
    lowering.call(
        route(op.score.value), lowering.num_rows_cell(op.logits.rows),
        lowering.address(op.logits), lowering.row_bytes(op.logits), num_experts,
        0 if op.bias is None else lowering.vector(op.bias), int(op.normalize), op.scale, op.groups, op.groups_used,
        lowering.address(op.out_experts), lowering.row_bytes(op.out_experts),
        lowering.address(op.out_weights), lowering.row_bytes(op.out_weights), k,
        lowering.thread_scratch(aligned(scratch)),
    )  # fmt: skip
