"""Rows in and out, and columns side by side."""

from __future__ import annotations

import numpy as np

from jackfield.program import Inputs, ops

__all__ = ["concat", "embed", "select_rows", "split_heads"]


def embed(op: ops.Embed, inputs: Inputs) -> None:
    """Look up each token's row of the table."""
    columns = slice(op.start, op.start + op.out.width)
    inputs.write(op.out, op.scale * inputs.weight(op.weight)[inputs.step.tokens, columns])


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
