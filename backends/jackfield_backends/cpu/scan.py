"""The scan of Mamba-2, along each sequence.

    h <- e^{dt A} h + dt x B;  y = h·C + D x, with dt = softplus(dt + bias)

Source: Dao & Gu 2024, arXiv:2405.21060.

Parallel over sequences, heads and stretches of a head's rows. A stretch goes through all tokens while it lies in the
first cache: a token costs one load, one store and three multiplications a vector, less than the products of
the chunked form, whose sums also would depend on how a prompt is cut. Here a token gets the same bits in a step
of its own and in any prefill. Decode reads and writes each state once.
Letters: T rows, H heads, P rows and N columns of a head's state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jackfield.program.ops import SsmScan
from jackfield_backends.cpu.emit import F32, Totals, Value, loop, store_masked, zeros
from jackfield_backends.cpu.kernel import arg, kernel, load_i64
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.operation import f32, i64, nothing, operation
from jackfield_backends.cpu.simd import (
    exp_one,
    first_lanes,
    load_f32,
    load_i32,
    prefetch_span,
    softplus_of,
)

__all__ = ["scan"]

STRETCH = 32  # rows of a head's state; 16 KiB of 128 columns
LANES = 16
AHEAD = 2  # tokens


@operation(f32, f32)
def softplus_one(x: Value) -> Value:
    """Return log(1 + e^x) of one number."""
    return softplus_of(x)


def advance_rows(count: int) -> Callable[..., None]:
    """Make one token's update of ``count`` rows of a head's state, and their y.

    Its arguments: state, N, decay, dt, x, D, B, C, y.
    """

    @operation(nothing, i64, i64, f32, f32, i64, f32, i64, i64, i64)
    def advance(
        state: Value,
        columns: Value,
        decay: Value,
        dt: Value,
        x: Value,
        skip: Value,
        b: Value,
        c: Value,
        y: Value,
    ) -> None:
        gains = [(x.load(F32, 1, 4 * r) * dt).splat(LANES) for r in range(count)]
        totals = Totals([zeros(state.b, F32, LANES) for _ in range(count)])

        def move(at: Value, mask: Value | None) -> None:
            """Go on with sixteen columns, or with those of a mask."""
            inputs, outputs = (b + at).load(F32, LANES), (c + at).load(F32, LANES)
            if mask is not None:
                inputs, outputs = mask.choose(inputs, 0.0), mask.choose(outputs, 0.0)
            for r in range(count):
                place = state + columns * (4 * r) + at
                value = inputs.fma(gains[r], place.load(F32, LANES) * decay.splat(LANES))
                if mask is None:
                    place.store(value)
                else:
                    store_masked(place, value, mask)
                    value = mask.choose(value, 0.0)
                totals.set(r, value.fma(outputs, totals.get(r)))

        with loop(columns >> 4) as i:
            move(i * (4 * LANES), None)
        left = columns & (LANES - 1)
        with state.b.if_then(left.compare(">", 0).v):
            whole = columns - left
            move(whole * 4, first_lanes(totals.get(0), left))
        sums = _sums_of([totals.get(r) for r in range(count)])
        y.store(x.load(F32, count).fma(skip.splat(count), sums))

    made: Callable[..., None] = advance
    return made


def _sums_of(values: Sequence[Value]) -> Value:
    """Return the sums of four vectors' lanes side by side, or that of one."""
    if len(values) == 1:
        return values[0].total()
    halves = [value.lanes(range(8)) + value.lanes(range(8, LANES)) for value in values]
    while len(halves) > 1:
        pairs = zip(halves[::2], halves[1::2], strict=True)
        halves = [x.lanes(EVEN, y) + x.lanes(ODD, y) for x, y in pairs]
    return halves[0].lanes(range(4)) + halves[0].lanes(range(4, 8))


AT_ONCE = 4
EVEN, ODD = (
    (0, 2, 8, 10, 4, 6, 12, 14),
    (1, 3, 9, 11, 5, 7, 13, 15),
)  # neighbours, within halves of a register
advance_four, advance_one = advance_rows(AT_ONCE), advance_rows(1)


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
    parts = (width + STRETCH - 1) // STRETCH
    units = load_i64(arg(args, 0)) * heads * parts
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        sequence, h, start = unit // (heads * parts), unit // parts % heads, unit % parts * STRETCH
        stop = min(start + STRETCH, width)
        state = states + load_i32(slots + 4 * sequence) * slot_bytes + 4 * h * width * columns
        decay_rate, shift, skip = load_f32(a + 4 * h), load_f32(bias + 4 * h), load_f32(d + 4 * h)
        for t in range(load_i32(starts + 4 * sequence), load_i32(starts + 4 * sequence + 4)):
            x = arg(args, 7) + t * arg(args, 8) + 4 * h * width
            b = arg(args, 9) + t * arg(args, 10) + 4 * (h // share) * columns
            c = arg(args, 11) + t * arg(args, 12) + 4 * (h // share) * columns
            out = arg(args, 15) + t * arg(args, 16) + 4 * h * width
            # rows lie too far apart for the processor to see where this leads
            prefetch_span(x + AHEAD * arg(args, 8) + 4 * start, 4 * STRETCH)
            prefetch_span(b + AHEAD * arg(args, 10), 4 * columns)
            prefetch_span(c + AHEAD * arg(args, 12), 4 * columns)
            dt = softplus_one(load_f32(arg(args, 13) + t * arg(args, 14) + 4 * h) + shift)
            decay = exp_one(dt * decay_rate)
            whole = start + (stop - start) // AT_ONCE * AT_ONCE
            for p in range(start, whole, AT_ONCE):
                advance_four(state + 4 * p * columns, columns, decay, dt, x + 4 * p, skip, b, c, out + 4 * p)
            for p in range(whole, stop):
                advance_one(state + 4 * p * columns, columns, decay, dt, x + 4 * p, skip, b, c, out + 4 * p)


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
