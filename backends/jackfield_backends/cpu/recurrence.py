"""Ops with a fixed state that walk along each sequence: convolution, Mamba-2, the gated delta rule.

    conv1d:  out_t = act(bias + Σ_i weight_i * x_{t-K+1+i});  the state keeps the last K - 1 raw rows
    scan:    h <- e^{dt A} h + dt x B;  y = h·C + D x, with dt = softplus(dt + bias)
    delta:   S <- e^g S;  d = β (v - Sᵀk);  S <- S + k dᵀ;  out = Sᵀq * scale

Sources: Dao & Gu 2024, arXiv:2405.21060; Yang, Kautz & Hatamizadeh 2024, arXiv:2412.06464.

Parallel over sequences and heads (or stretches of channels, or of a head's columns); rows of a sequence come one
after the other, so prefill does exactly what token by token does. A state is read and written once a row.
Letters: T rows, H heads, P rows and N columns of a head's state, G groups, K taps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils

from jackfield.program.ops import Conv1d, DeltaRule, SsmScan
from jackfield_backends.cpu.elementwise import ACTIVATIONS
from jackfield_backends.cpu.emit import F32, Value, zeros
from jackfield_backends.cpu.instructions import store_masked
from jackfield_backends.cpu.kernel import arg, float_arg, kernel, kernel_family, load_i64, routine
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.simd import (
    exp_of,
    first_lanes,
    fma,
    keep_first,
    load_f32,
    load_f32x16,
    load_i32,
    operation,
    softplus_of,
    splat,
    store_f32,
    store_first,
    total,
)

__all__ = ["convolve", "delta", "scan"]

F0 = np.float32(0)
CHANNELS = 64  # a stretch of a convolution
NONE = "none"


# ---- convolution ---------------------------------------------------------------------------------


@routine
def source_row(x: int, x_bytes: int, state: int, width: int, taps: int, t: int) -> int:
    """Return where row t of the sequence lies; rows before the first are in the state."""
    return x + t * x_bytes if t >= 0 else state + 4 * (t + taps - 1) * width


@routine
def identity(x: Any) -> Any:
    """Return x."""
    return x


@kernel_family
def convolve(activation: str) -> Any:
    """Make the kernel of an activation.

    Its arguments: sequences cell, row starts, slots, channels, K, x, row bytes, out, row bytes, weight
    ``[K][channels]``, bias or 0, state, bytes of a slot.
    """
    function = identity if activation == NONE else ACTIVATIONS[activation]

    def run(args: int, thread: int, num_threads: int) -> None:
        starts, slots, width, taps = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4)
        x, x_bytes, out, out_bytes = arg(args, 5), arg(args, 6), arg(args, 7), arg(args, 8)
        weight, bias, states, slot_bytes = arg(args, 9), arg(args, 10), arg(args, 11), arg(args, 12)
        parts = (width + CHANNELS - 1) // CHANNELS
        units = load_i64(arg(args, 0)) * parts
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            b, begin = unit // parts, unit % parts * CHANNELS
            first, num_rows = (
                load_i32(starts + 4 * b),
                load_i32(starts + 4 * b + 4) - load_i32(starts + 4 * b),
            )
            state = states + load_i32(slots + 4 * b) * slot_bytes
            rows, to = x + first * x_bytes, out + first * out_bytes
            for c in range(begin, min(begin + CHANNELS, width), 16):
                for t in range(num_rows):
                    value = load_f32x16(bias + 4 * c) if bias else splat(F0)
                    for i in range(taps):
                        row = source_row(rows, x_bytes, state, width, taps, t - taps + 1 + i)
                        value = fma(
                            load_f32x16(row + 4 * c), load_f32x16(weight + 4 * (i * width + c)), value
                        )
                    store_first(to + t * out_bytes + 4 * c, function(value), width - c)
                if num_rows > 0:
                    for i in range(taps - 1):
                        row = source_row(rows, x_bytes, state, width, taps, num_rows - taps + 1 + i)
                        store_first(state + 4 * (i * width + c), load_f32x16(row + 4 * c), width - c)

    return run


@lowers(Conv1d)
def lower_conv1d(lowering: Lowering, op: Conv1d) -> None:
    """Append a convolution; its weight is copied tap by tap."""
    tables, place = lowering.tables, lowering.state(op.state)
    taps = lowering.floats(op.weight).reshape(op.weight.shape).T
    lowering.call(
        convolve(NONE if op.activation is None else op.activation.value),
        tables.num_sequences, tables.row_starts, tables.state_slots, op.x.width, op.state.kernel,
        lowering.address(op.x), lowering.row_bytes(op.x), lowering.address(op.out), lowering.row_bytes(op.out),
        lowering.constant(taps), 0 if op.bias is None else lowering.vector(op.bias), place.address, place.slot_bytes,
    )  # fmt: skip


# ---- Mamba-2 -------------------------------------------------------------------------------------


@operation(types.float32, types.float32)
def softplus_one(x: Value) -> Value:
    """Return log(1 + e^x) of one number."""
    return softplus_of(x)


@operation(types.float32, types.float32)
def exp_one(x: Value) -> Value:
    """Return e^x of one number."""
    return exp_of(x)


@routine
def scan_row(state: int, columns: int, decay: np.float32, gain: np.float32, b: int, c: int) -> np.float32:
    """Advance one row of a head's state and return its product with C."""
    sum_ = splat(F0)
    for n in range(0, columns, 16):
        value = fma(load_f32x16(b + 4 * n), splat(gain), load_f32x16(state + 4 * n) * decay)
        value = keep_first(value, columns - n, F0)
        store_first(state + 4 * n, value, columns - n)
        sum_ = fma(value, keep_first(load_f32x16(c + 4 * n), columns - n, F0), sum_)
    result: np.float32 = total(sum_)
    return result


@kernel
def scan(args: int, thread: int, num_threads: int) -> None:
    """Scan.

    Its arguments: sequences cell, row starts, slots, H, P, N, heads of a group, then address and row bytes of x, B,
    C, dt and out, addresses of A, D and the bias of dt, state, bytes of a slot.
    """
    starts, slots, heads, width, columns, share = (
        arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4), arg(args, 5), arg(args, 6)
    )  # fmt: skip
    a, d, bias, states, slot_bytes = arg(args, 17), arg(args, 18), arg(args, 19), arg(args, 20), arg(args, 21)
    units = load_i64(arg(args, 0)) * heads
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        sequence, h = unit // heads, unit % heads
        state = states + load_i32(slots + 4 * sequence) * slot_bytes + 4 * h * width * columns
        for t in range(load_i32(starts + 4 * sequence), load_i32(starts + 4 * sequence + 4)):
            x = arg(args, 7) + t * arg(args, 8) + 4 * h * width
            b = arg(args, 9) + t * arg(args, 10) + 4 * (h // share) * columns
            c = arg(args, 11) + t * arg(args, 12) + 4 * (h // share) * columns
            out = arg(args, 15) + t * arg(args, 16) + 4 * h * width
            dt = softplus_one(load_f32(arg(args, 13) + t * arg(args, 14) + 4 * h) + load_f32(bias + 4 * h))
            decay = exp_one(dt * load_f32(a + 4 * h))
            for p in range(width):
                value = load_f32(x + 4 * p)
                y = scan_row(state + 4 * p * columns, columns, decay, dt * value, b, c)
                store_f32(out + 4 * p, y + value * load_f32(d + 4 * h))


@lowers(SsmScan)
def lower_ssm_scan(lowering: Lowering, op: SsmScan) -> None:
    """Append a scan."""
    tables, state, place = lowering.tables, op.state, lowering.state(op.state)
    operands = [
        value
        for buffer in (op.x, op.b, op.c, op.dt, op.out)
        for value in (lowering.address(buffer), lowering.row_bytes(buffer))
    ]
    lowering.call(
        scan, tables.num_sequences, tables.row_starts, tables.state_slots,
        state.heads, state.rows, state.columns, state.heads // op.groups, *operands,
        lowering.vector(op.a), lowering.vector(op.d), lowering.vector(op.dt_bias), place.address, place.slot_bytes,
    )  # fmt: skip


# ---- the gated delta rule ------------------------------------------------------------------------


def delta_step(vectors: int) -> Callable[..., None]:
    """Make one row's update of 16 * ``vectors`` columns of a head's state.

    Its arguments: state, bytes between its rows, P, k, v, q, decay, β, scale, out, columns to write.
    """

    @operation(types.void, *[types.int64] * 6, *[types.float32] * 3, types.int64, types.int64)
    def step(
        state: Value, row_bytes: Value, rows: Value, k: Value, v: Value, q: Value,
        decay: Value, beta: Value, scale: Value, out: Value, count: Value,
    ) -> None:  # fmt: skip
        b = state.b
        cells = [cgutils.alloca_once(b, zeros(b, F32, 16).type) for _ in range(vectors)]

        def walk(weights: Value, change: Callable[[Value, Value, int], Value]) -> list[Value]:
            """Return Σ_p change(S_p) * weights_p."""
            for cell in cells:
                b.store(zeros(b, F32, 16).v, cell)
            with cgutils.for_range(b, rows.v) as loop:
                p = state.new(loop.index)
                at, weight = state + p * row_bytes, (weights + p * 4).load(F32).splat(16)
                for i, cell in enumerate(cells):
                    value = change(at + 64 * i, p, i)
                    b.store(value.fma(weight, state.new(b.load(cell))).v, cell)
            return [state.new(b.load(cell)) for cell in cells]

        held = walk(k, lambda at, p, i: at.load(F32, 16) * decay)
        errors = [(v.load(F32, 16, 64 * i) - held[i]) * beta for i in range(vectors)]

        def update(at: Value, p: Value, i: int) -> Value:
            value = errors[i].fma((k + p * 4).load(F32).splat(16), at.load(F32, 16) * decay)
            store_part(at, value, count - 16 * i)
            return value

        for i, value in enumerate(walk(q, update)):
            store_part(out + 64 * i, value * scale, count - 16 * i)

    def store_part(at: Value, value: Value, left: Value) -> None:
        if vectors > 1:
            at.store(value)
        else:
            store_masked(at, value, first_lanes(value, left))

    made: Callable[..., None] = step
    return made


STRETCH = 64
delta_wide, delta_narrow = delta_step(STRETCH // 16), delta_step(1)


@kernel
def delta(args: int, thread: int, num_threads: int) -> None:
    """Run the rule.

    Its arguments: sequences cell, row starts, slots, H, P, N, key heads, tiled, then address and row bytes of q, k,
    v, g, β and out, state, bytes of a slot, scale.
    """
    starts, slots, heads, rows, columns = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4), arg(args, 5)
    key_heads, tiled, states, slot_bytes = arg(args, 6), arg(args, 7), arg(args, 20), arg(args, 21)
    scale = float_arg(args, 22)
    parts = (columns + STRETCH - 1) // STRETCH
    units = load_i64(arg(args, 0)) * heads * parts
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        sequence, h, start = unit // (heads * parts), unit // parts % heads, unit % parts * STRETCH
        key_head = h % key_heads if tiled else h // (heads // key_heads)
        state = states + load_i32(slots + 4 * sequence) * slot_bytes + 4 * h * rows * columns
        for t in range(load_i32(starts + 4 * sequence), load_i32(starts + 4 * sequence + 4)):
            q = arg(args, 8) + t * arg(args, 9) + 4 * key_head * rows
            k = arg(args, 10) + t * arg(args, 11) + 4 * key_head * rows
            v = arg(args, 12) + t * arg(args, 13) + 4 * h * columns
            out = arg(args, 18) + t * arg(args, 19) + 4 * h * columns
            decay = exp_one(load_f32(arg(args, 14) + t * arg(args, 15) + 4 * h))
            beta = load_f32(arg(args, 16) + t * arg(args, 17) + 4 * h)
            if columns - start >= STRETCH:
                at = 4 * start
                delta_wide(state + at, 4 * columns, rows, k, v + at, q, decay, beta, scale, out + at, STRETCH)
            else:
                for c in range(start, columns, 16):
                    at = 4 * c
                    delta_narrow(
                        state + at, 4 * columns, rows, k, v + at, q, decay, beta, scale, out + at, columns - c
                    )


@lowers(DeltaRule)
def lower_delta_rule(lowering: Lowering, op: DeltaRule) -> None:
    """Append the gated delta rule."""
    tables, state, place = lowering.tables, op.state, lowering.state(op.state)
    operands = [
        value
        for buffer in (op.q, op.k, op.v, op.g, op.beta, op.out)
        for value in (lowering.address(buffer), lowering.row_bytes(buffer))
    ]
    lowering.call(
        delta, tables.num_sequences, tables.row_starts, tables.state_slots,
        state.heads, state.rows, state.columns, op.num_key_heads, int(op.tiled), *operands,
        place.address, place.slot_bytes, op.scale,
    )  # fmt: skip
