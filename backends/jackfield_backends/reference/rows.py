"""Rows in and out, and columns side by side."""

from __future__ import annotations

import itertools

import numpy as np

from jackfield.program import Inputs, Rows, ops

__all__ = ["choose_rows", "concat", "embed", "select_rows", "soft_embed", "split_heads"]


def embed(op: ops.Embed, inputs: Inputs) -> None:
    """Look up each token's row of the table."""
    columns = slice(op.start, op.start + op.out.width)
    inputs.write(op.out, op.scale * inputs.weight(op.weight)[inputs.step.tokens, columns])


def soft_embed(op: ops.SoftEmbed, inputs: Inputs) -> None:
    """Sum the rows of each row's entries by weight."""
    out = np.zeros((len(inputs.step.tokens), op.out.width), np.float32)
    soft, table = inputs.step.soft_tokens, inputs.weight(op.weight)
    if soft is not None:
        for t, (start, stop) in enumerate(itertools.pairwise(soft.starts)):
            out[t] = op.scale * (soft.weights[start:stop] @ table[soft.ids[start:stop]])
    inputs.write(op.out, out)


def choose_rows(op: ops.ChooseRows, inputs: Inputs) -> None:
    """Take rows of a canvas from one operand, those of text from the other."""
    is_canvas = inputs.step.canvas_rows()
    if op.out.rows is Rows.OUTPUTS:
        is_canvas = is_canvas[inputs.step.output_rows]
    inputs.write(op.out, np.where(is_canvas[:, None] == 1, inputs.read(op.canvas), inputs.read(op.text)))


def select_rows(op: ops.SelectRows, inputs: Inputs) -> None:
    """Keep the rows whose logits are wanted."""
    inputs.write(op.out, inputs.read(op.x)[inputs.step.output_rows])


def concat(op: ops.Concat, inputs: Inputs) -> None:
    """Put columns side by side."""
    inputs.write(op.out, np.hstack([inputs.read(op.x), inputs.read(op.y)]))


def split_heads(op: ops.SplitHeads, inputs: Inputs) -> None:
    """Gather the same columns of every head."""
    x = inputs.read(op.x)
    heads = x.reshape(len(x), op.heads, x.shape[1] // op.heads)
    width = op.out.width // op.heads
    inputs.write(op.out, heads[:, :, op.start : op.start + width].reshape(len(x), op.out.width))
