"""Rotary positions, the key/value cache, causal attention.

Letters: T rows of one sequence, S cached positions, H query heads, G key heads, K head width.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.program import Inputs, RopeLayout, Rows, ops

__all__ = ["attend", "kv_append", "rope"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


def rope(op: ops.Rope, inputs: Inputs) -> None:
    """Rotate each head by its row's position."""
    x = inputs.read(op.x)
    heads = x.reshape(len(x), x.shape[1] // op.head_width, op.head_width).copy()
    angles = np.outer(inputs.positions(op.x.rows), op.table.frequencies)[:, None, :]  # T1i
    cos = (op.table.magnitude * np.cos(angles)).astype(np.float32)
    sin = (op.table.magnitude * np.sin(angles)).astype(np.float32)
    first, second = _pairs(op.table.layout, op.table.num_rotated)
    a, b = heads[..., first], heads[..., second]
    heads[..., first], heads[..., second] = a * cos - b * sin, a * sin + b * cos
    inputs.write(op.out, heads.reshape(x.shape))


def kv_append(op: ops.KvAppend, inputs: Inputs) -> None:
    """Store the step's keys and values."""
    inputs.append(op.cache, inputs.read(op.k), inputs.read(op.v))


def attend(op: ops.Attend, inputs: Inputs) -> None:
    """Attend to the cache, a sequence at a time."""
    q = inputs.read(op.q).reshape(-1, op.num_heads, op.cache.key_width)
    sequences, (origins, ends) = inputs.sequences(op.q.rows), _sight(inputs, op.q.rows)
    out = np.empty((len(q), op.num_heads, op.cache.value_width), np.float32)
    for sequence in np.unique(sequences):
        rows = np.flatnonzero(sequences == sequence)
        keys, values = inputs.cached(op.cache, int(sequence), int(ends[rows].max()) + 1)
        weights = _softmax(_scores(op, q[rows], keys, origins[rows], ends[rows]), _sinks(op, inputs))
        values = _spread(values, op.num_heads)
        out[rows] = np.einsum("hts,hsk->thk", weights, values, optimize=True)
    inputs.write(op.out, out.reshape(len(q), -1))


def _pairs(layout: RopeLayout, num_rotated: int) -> tuple[slice, slice]:
    if layout is RopeLayout.NORM:
        return slice(0, num_rotated, 2), slice(1, num_rotated, 2)
    half = num_rotated // 2
    return slice(0, half), slice(half, num_rotated)


def _spread(cached: F32, num_heads: int) -> F32:
    """Repeat each key head for the query heads that share it: SGK to HSK."""
    return np.repeat(cached.transpose(1, 0, 2), num_heads // cached.shape[1], axis=0)


def _sight(inputs: Inputs, rows: Rows) -> tuple[I32, I32]:
    """Return where each row's window is measured from, and the last position it sees."""
    origins, ends = inputs.step.sight()
    chosen = inputs.step.output_rows if rows is Rows.OUTPUTS else slice(None)
    return origins[chosen], ends[chosen]


def _scores(op: ops.Attend, q: F32, keys: F32, origins: I32, ends: I32) -> F32:
    spread = _spread(keys, op.num_heads)
    scores = np.float32(op.scale) * np.einsum("thk,hsk->hts", q, spread, optimize=True)
    if op.softcap is not None:
        scores = np.float32(op.softcap) * np.tanh(scores / np.float32(op.softcap))
    places = np.arange(len(keys), dtype=np.int32)
    allowed = places <= ends[:, None]  # TS
    if op.window is not None:
        allowed &= origins[:, None] - places < op.window
    return np.where(allowed, scores, np.float32(-np.inf))


def _sinks(op: ops.Attend, inputs: Inputs) -> F32:
    if op.sinks is None:
        return np.full(op.num_heads, -np.inf, np.float32)
    return inputs.weight(op.sinks).reshape(-1)


def _softmax(scores: F32, sinks: F32) -> F32:
    """Return the weights HTS; a sink is one more score of each head, without a value."""
    sink = sinks[:, None, None]
    top = np.maximum(scores.max(axis=-1, keepdims=True), sink)
    powers = np.exp(scores - top)
    weights: F32 = powers / (powers.sum(axis=-1, keepdims=True) + np.exp(sink - top))
    return weights
