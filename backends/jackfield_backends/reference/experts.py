"""Routing rows to experts, and running them.

Letters: T rows, E experts, k experts a row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.program import Inputs, RouterScore, Weight, ops

from .elementwise import gated, sigmoid

__all__ = ["expert_feed_forward", "route_top_k"]

F32 = npt.NDArray[np.float32]
SMALLEST_SUM = np.float32(2**-14)


def route_top_k(op: ops.RouteTopK, inputs: Inputs) -> None:
    """Choose each row's experts and weigh them."""
    scores = _scores(inputs.read(op.logits), op.score)
    eligible = scores if op.bias is None else scores + inputs.weight(op.bias).reshape(-1)
    if op.groups > 1:
        eligible = _best_groups(eligible, op.groups, op.groups_used)
    experts = np.argsort(-eligible, axis=1, kind="stable")[:, : op.out_experts.width]
    weights = np.take_along_axis(scores, experts, axis=1)
    if op.score is RouterScore.SOFTMAX_SELECTED:
        weights = _softmax(weights)
    if op.normalize:
        weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), SMALLEST_SUM)
    inputs.write(op.out_experts, experts.astype(np.int32))
    inputs.write(op.out_weights, weights * np.float32(op.scale))


def expert_feed_forward(op: ops.ExpertFeedForward, inputs: Inputs) -> None:
    """Run every row's experts, then sum in rank order."""
    x, experts = inputs.read(op.x), inputs.read_indices(op.experts)
    weights = inputs.read(op.expert_weights)
    outputs = np.empty((*experts.shape, op.out.width), np.float32)
    for expert in np.unique(experts):
        rows, ranks = np.nonzero(experts == expert)
        outputs[rows, ranks] = _one_expert(op, inputs, x[rows], int(expert))
    out = np.zeros((len(x), op.out.width), np.float32)
    for rank in range(experts.shape[1]):
        out += weights[:, rank, None] * outputs[:, rank]
    inputs.write(op.out, out)


def _scores(logits: F32, score: RouterScore) -> F32:
    match score:
        case RouterScore.SOFTMAX:
            return _softmax(logits)
        case RouterScore.SIGMOID:
            return sigmoid(logits)
        case RouterScore.SOFTMAX_SELECTED:
            return logits


def _softmax(x: F32) -> F32:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    shares: F32 = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _best_groups(eligible: F32, groups: int, groups_used: int) -> F32:
    """Rule out the experts of all but the groups whose two best sum highest."""
    parts = eligible.reshape(len(eligible), groups, -1)
    best_two = np.sort(parts, axis=2)[:, :, -2:].sum(axis=2)
    ruled_out = np.argsort(-best_two, axis=1, kind="stable")[:, groups_used:]
    kept = parts.copy()
    np.put_along_axis(kept, ruled_out[:, :, None], np.float32(-np.inf), axis=1)
    return kept.reshape(eligible.shape)


def _one_expert(op: ops.ExpertFeedForward, inputs: Inputs, x: F32, expert: int) -> F32:
    gate, up = _gate_and_up(op, inputs, x, expert)
    out = gated(gate, up, op.kind) @ inputs.weight(op.down)[expert].T
    if op.down_scale is not None:
        out = out * inputs.weight(op.down_scale).reshape(-1)[expert]
    return _biased(out, op.down_bias, inputs, expert)


def _gate_and_up(op: ops.ExpertFeedForward, inputs: Inputs, x: F32, expert: int) -> tuple[F32, F32]:
    if op.gate_up is not None:
        both = x @ inputs.weight(op.gate_up)[expert].T
        gate, up = np.split(both, 2, axis=1)
    else:
        assert op.up is not None, "the builder demands up or gate_up"
        up = x @ inputs.weight(op.up)[expert].T
        gate = up if op.gate is None else x @ inputs.weight(op.gate)[expert].T
    return _biased(gate, op.gate_bias, inputs, expert), _biased(up, op.up_bias, inputs, expert)


def _biased(x: F32, bias: Weight | None, inputs: Inputs, expert: int) -> F32:
    return x if bias is None else x + inputs.weight(bias)[expert]
