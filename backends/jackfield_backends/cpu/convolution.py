"""Causal depthwise convolution with a fixed state.

    out_t = act(bias + Σ_i weight_i * x_{t-K+1+i});  the state keeps the last K - 1 raw rows

Parallel over sequences and stretches of channels. Within a stretch rows come one after the other, so a row is read
from memory once and K - 1 times more from the cache; it gets the same bits in a step of its own and in a prefill.
Letters: T rows, K taps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jackfield.program.ops import Conv1d
from jackfield_backends.cpu.elementwise import ACTIVATIONS
from jackfield_backends.cpu.kernel import arg, kernel_family, load_i64, routine
from jackfield_backends.cpu.lowering import Lowering, lowers
from jackfield_backends.cpu.simd import fma, load_f32x16, load_i32, splat, store_first

__all__ = []

F0 = np.float32(0)
SMALLEST, LARGEST = 64, 1024  # channels of a stretch: long enough to be fetched early, enough for all threads
NONE = "none"


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

    @routine
    def convolve_row(
        x: int, x_bytes: int, state: int, width: int, taps: int, t: int, begin: int, end: int,
        weight: int, bias: int, out: int,
    ) -> None:  # fmt: skip
        """Write channels ``begin`` to ``end`` of a row."""
        for c in range(begin, end, 16):
            value = load_f32x16(bias + 4 * c) if bias else splat(F0)
            for i in range(taps):
                row = source_row(x, x_bytes, state, width, taps, t - taps + 1 + i)
                value = fma(load_f32x16(row + 4 * c), load_f32x16(weight + 4 * (i * width + c)), value)
            store_first(out + 4 * c, function(value), width - c)

    def run(args: int, thread: int, num_threads: int) -> None:
        starts, slots, width, taps = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 4)
        x, x_bytes, out, out_bytes = arg(args, 5), arg(args, 6), arg(args, 7), arg(args, 8)
        weight, bias, states, slot_bytes = arg(args, 9), arg(args, 10), arg(args, 11), arg(args, 12)
        share = width // (4 * num_threads) // SMALLEST * SMALLEST
        stretch = min(max(share, SMALLEST), LARGEST)
        parts = (width + stretch - 1) // stretch
        units = load_i64(arg(args, 0)) * parts
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            b, begin = unit // parts, unit % parts * stretch
            end, first = min(begin + stretch, width), load_i32(starts + 4 * b)
            num_rows = load_i32(starts + 4 * b + 4) - first
            state = states + load_i32(slots + 4 * b) * slot_bytes
            rows, to = x + first * x_bytes, out + first * out_bytes
            for t in range(num_rows):
                convolve_row(
                    rows, x_bytes, state, width, taps, t, begin, end, weight, bias, to + t * out_bytes
                )
            for i in range(taps - 1 if num_rows > 0 else 0):
                row = source_row(rows, x_bytes, state, width, taps, num_rows - taps + 1 + i)
                for c in range(begin, end, 16):
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
