"""The gated delta rule, along each sequence.

    S <- e^g S;  d = β (v - Sᵀk);  S <- S + k dᵀ;  out = Sᵀq * scale

Source: Yang, Kautz & Hatamizadeh 2024, arXiv:2412.06464.

Parallel over sequences, heads and stretches of a head's columns. A stretch goes through all tokens while it lies in
the first cache. One pass over it updates the state for a token, sums the token's out, and sums Sᵀk for the
next: one load, one store, a product and three multiply-adds a vector. The chunked form multiplies as much and more
besides, and its sums would depend on how a prompt is cut; here a token gets the same bits in a step of its own and in
any prefill. Decode reads each state once from memory and writes it once.

A slot holds, for each head, one stretch after the other, ``[P][columns of the stretch]``.
Letters: T rows, H heads, P rows and N columns of a head's state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jackfield.program.ops import DeltaRule
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.emit import F32, Totals, Value, loop, store_masked, zeros
from jackfield_backends.cpu.isa import Isa
from jackfield_backends.cpu.kernel import arg, float_arg, kernel_family, load_i64, routine
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.operation import f32, i64, nothing, operation
from jackfield_backends.cpu.simd import exp_one, first_lanes, load_f32, load_i32, prefetch_span

__all__ = ["delta"]

LANES = 16
AHEAD = 2  # tokens
COLUMNS = {Isa.AVX512: 64, Isa.AVX2: 32, Isa.NEON: 32, Isa.PORTABLE: 32}
"""Columns of a stretch: two sums for each vector of them fit the registers, and enough run side by side."""


def first_pass(vectors: int) -> Callable[..., None]:
    """Make the sum Sᵀk of 16 * ``vectors`` columns: state, bytes between its rows, P, k, held."""

    @operation(nothing, *[i64] * 5)
    def walk(state: Value, row_bytes: Value, rows: Value, k: Value, held: Value) -> None:
        totals = Totals([zeros(state.b, F32, LANES) for _ in range(vectors)])
        with loop(rows) as p:
            at, weight = state + p * row_bytes, (k + p * 4).load(F32).splat(LANES)
            for i in range(vectors):
                totals.set(i, at.load(F32, LANES, 64 * i).fma(weight, totals.get(i)))
        for i in range(vectors):
            held.store(totals.get(i), 64 * i)

    made: Callable[..., None] = walk
    return made


def token_pass(vectors: int) -> Callable[..., None]:
    """Make a token's update of 16 * ``vectors`` columns.

    Its arguments: state, bytes between its rows, P, k, v, q, the next token's k, held (Sᵀk, replaced by the next
    token's), decay, β, scale, out, columns to write.
    """

    @operation(nothing, *[i64] * 8, *[f32] * 3, i64, i64)
    def walk(
        state: Value, row_bytes: Value, rows: Value, k: Value, v: Value, q: Value, next_k: Value, held: Value,
        decay: Value, beta: Value, scale: Value, out: Value, count: Value,
    ) -> None:  # fmt: skip
        b, span = state.b, range(vectors)
        shrink, gain = decay.splat(LANES), beta.splat(LANES)
        errors = [(v.load(F32, LANES, 64 * i) - held.load(F32, LANES, 64 * i) * shrink) * gain for i in span]
        seen, sums = (Totals([zeros(b, F32, LANES) for _ in span]) for _ in range(2))
        with loop(rows) as p:
            at = state + p * row_bytes
            key, query, next_key = ((each + p * 4).load(F32).splat(LANES) for each in (k, q, next_k))
            for i in span:
                value = errors[i].fma(key, at.load(F32, LANES, 64 * i) * shrink)
                store_part(at + 64 * i, value, count - LANES * i)
                seen.set(i, value.fma(query, seen.get(i)))
                sums.set(i, value.fma(next_key, sums.get(i)))
        for i in span:
            store_part(out + 64 * i, seen.get(i) * scale, count - LANES * i)
            held.store(sums.get(i), 64 * i)

    def store_part(at: Value, value: Value, left: Value) -> None:
        if vectors > 1:
            at.store(value)
        else:
            store_masked(at, value, first_lanes(value, left))

    made: Callable[..., None] = walk
    return made


def columns_walk(vectors: int) -> Callable[..., None]:
    """Make the walk of all tokens over 16 * ``vectors`` columns of a head."""
    begin, advance = first_pass(vectors), token_pass(vectors)

    @routine
    def walk(
        args: int, first: int, last: int, h: int, key_head: int, column: int, count: int, state: int,
        row_bytes: int, held: int,
    ) -> None:  # fmt: skip
        """Take rows ``first`` to ``last`` of the step; ``count`` columns from ``column`` on are written."""
        rows, columns, scale = arg(args, 4), arg(args, 5), float_arg(args, 22)
        q, k = arg(args, 8) + 4 * key_head * rows, arg(args, 10) + 4 * key_head * rows
        at = 4 * (h * columns + column)
        begin(state, row_bytes, rows, k + first * arg(args, 11), held)
        for t in range(first, last):
            # rows lie too far apart for the processor to see where this leads
            prefetch_span(q + (t + AHEAD) * arg(args, 9), 4 * rows)
            prefetch_span(k + (t + AHEAD) * arg(args, 11), 4 * rows)
            prefetch_span(arg(args, 12) + (t + AHEAD) * arg(args, 13) + at, 4 * count)
            advance(
                state, row_bytes, rows, k + t * arg(args, 11), arg(args, 12) + t * arg(args, 13) + at,
                q + t * arg(args, 9), k + min(t + 1, last - 1) * arg(args, 11), held,
                exp_one(load_f32(arg(args, 14) + t * arg(args, 15) + 4 * h)),
                load_f32(arg(args, 16) + t * arg(args, 17) + 4 * h), scale,
                arg(args, 18) + t * arg(args, 19) + at, count,
            )  # fmt: skip

    made: Callable[..., None] = walk
    return made


@kernel_family
def delta(stretch: int) -> Any:
    """Make the kernel of a width of stretches.

    Its arguments: sequences cell, row starts, slots, H, P, N, key heads, tiled, then address and row bytes of q, k,
    v, g, β and out, state, bytes of a slot, scale, scratch.
    """
    walk_wide, walk_narrow = columns_walk(stretch // LANES), columns_walk(1)

    def run(args: int, thread: int, num_threads: int) -> None:
        starts, slots, heads, rows, columns = (
            arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4), arg(args, 5)
        )  # fmt: skip
        key_heads, tiled, states, slot_bytes = arg(args, 6), arg(args, 7), arg(args, 20), arg(args, 21)
        held = load_i64(arg(args, 23)) + thread * load_i64(arg(args, 23) + 8)
        parts = (columns + stretch - 1) // stretch
        units = load_i64(arg(args, 0)) * heads * parts
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            sequence, h, column = unit // (heads * parts), unit // parts % heads, unit % parts * stretch
            first, last = load_i32(starts + 4 * sequence), load_i32(starts + 4 * sequence + 4)
            if first == last:
                continue
            key_head = h % key_heads if tiled else h // (heads // key_heads)
            state = states + load_i32(slots + 4 * sequence) * slot_bytes + 4 * rows * (h * columns + column)
            width = min(stretch, columns - column)
            if width == stretch:
                walk_wide(args, first, last, h, key_head, column, width, state, 4 * width, held)
            else:
                for c in range(0, width, LANES):
                    walk_narrow(
                        args, first, last, h, key_head, column + c, width - c, state + 4 * c, 4 * width, held
                    )

    return run


@lowers(DeltaRule)
def lower_delta_rule(lowering: Lowering, op: DeltaRule) -> None:
    """Append the gated delta rule."""
    tables, state, place = lowering.tables, op.state, lowering.state(op.state)
    stretch = COLUMNS[isa.current()]
    operands = [
        value
        for buffer in (op.q, op.k, op.v, op.g, op.beta, op.out)
        for value in (lowering.address(buffer), lowering.row_bytes(buffer))
    ]
    lowering.call(
        delta(stretch), tables.num_sequences, tables.row_starts, tables.state_slots,
        state.heads, state.rows, state.columns, op.num_key_heads, int(op.tiled), *operands,
        place.address, place.slot_bytes, op.scale, lowering.thread_scratch(4 * stretch),
    )  # fmt: skip
