"""Ops with a state that walks along each sequence: convolution, Mamba-2, the gated delta rule.

Letters: T rows of one sequence, H heads, P rows and N columns of a head's state, G groups.
Sources: Dao & Gu 2024, arXiv:2405.21060; Yang, Kautz & Hatamizadeh 2024, arXiv:2412.06464.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from jackfield.program import Inputs, ops

from .elementwise import activation, softplus

__all__ = ["conv1d", "delta_rule", "ssm_scan"]

F32 = npt.NDArray[np.float32]


def conv1d(op: ops.Conv1d, inputs: Inputs) -> None:
    """Convolve each channel with its last rows."""
    x, kernel = inputs.read(op.x), inputs.weight(op.weight)
    out = np.zeros_like(x)
    for sequence, rows in _spans(inputs):
        state = inputs.state(op.state, sequence)
        padded = np.vstack([state, x[rows]])
        for i in range(op.state.kernel):
            out[rows] += kernel[:, i] * padded[i : i + rows.stop - rows.start]
        state[:] = padded[len(padded) - len(state) :]
    if op.bias is not None:
        out += inputs.weight(op.bias)
    inputs.write(op.out, out if op.activation is None else activation(out, op.activation))


def ssm_scan(op: ops.SsmScan, inputs: Inputs) -> None:
    """Scan Mamba-2's recurrence along each sequence."""
    heads = op.state.heads
    x = inputs.read(op.x).reshape(-1, heads, op.state.rows)  # THP
    b, c = (_grouped(inputs.read(part), op.groups, heads) for part in (op.b, op.c))  # THN
    dt = softplus(inputs.read(op.dt) + inputs.weight(op.dt_bias).reshape(-1))  # TH
    decay = np.exp(dt * inputs.weight(op.a).reshape(-1))
    out = x * inputs.weight(op.d).reshape(-1, 1)
    for sequence, rows in _spans(inputs):
        state = inputs.state(op.state, sequence)  # HPN
        for t in range(rows.start, rows.stop):
            state *= decay[t, :, None, None]
            state += np.einsum("h,hp,hn->hpn", dt[t], x[t], b[t])
            out[t] += np.einsum("hpn,hn->hp", state, c[t])
    inputs.write(op.out, out.reshape(len(x), -1))


def delta_rule(op: ops.DeltaRule, inputs: Inputs) -> None:
    """Run the gated delta rule along each sequence."""
    q, k = (_key_heads(op, inputs.read(part)) for part in (op.q, op.k))  # THP
    v = inputs.read(op.v).reshape(-1, op.state.heads, op.state.columns)  # THN
    decay, beta = np.exp(inputs.read(op.g)), inputs.read(op.beta)  # TH
    out = np.empty_like(v)
    for sequence, rows in _spans(inputs):
        state = inputs.state(op.state, sequence)  # HPN
        for t in range(rows.start, rows.stop):
            state *= decay[t, :, None, None]
            correction = beta[t, :, None] * (v[t] - np.einsum("hpn,hp->hn", state, k[t]))
            state += np.einsum("hp,hn->hpn", k[t], correction)
            out[t] = np.einsum("hpn,hp->hn", state, q[t])
    inputs.write(op.out, np.float32(op.scale) * out.reshape(len(v), -1))


def _spans(inputs: Inputs) -> Iterator[tuple[int, slice]]:
    """Yield each sequence that has rows in the step, with its rows."""
    starts = inputs.step.row_starts
    for sequence in range(len(starts) - 1):
        start, stop = int(starts[sequence]), int(starts[sequence + 1])
        if start < stop:
            yield sequence, slice(start, stop)


def _grouped(x: F32, groups: int, heads: int) -> F32:
    """Give each head its group's columns; head h is of group ``h // (H // G)``."""
    return np.repeat(x.reshape(len(x), groups, x.shape[1] // groups), heads // groups, axis=1)


def _key_heads(op: ops.DeltaRule, x: F32) -> F32:
    """Give each value head its key head's columns."""
    heads, key_heads = np.arange(op.state.heads), op.num_key_heads
    key_head = heads % key_heads if op.tiled else heads // (op.state.heads // key_heads)
    return x.reshape(len(x), key_heads, op.state.rows)[:, key_head]
