"""Norms over groups of columns; sums in float64.

Source: Zhang & Sennrich 2019, arXiv:1910.07467.
"""

from __future__ import annotations

import numpy as np

from jackfield.program import Inputs, ops

__all__ = ["l2_norm", "rms_norm"]


def rms_norm(op: ops.RmsNorm, inputs: Inputs) -> None:
    """Divide each group by the root of its mean square."""
    x = inputs.read(op.x)
    groups = x.reshape(len(x), x.shape[1] // op.group, op.group)
    mean = np.mean(np.square(groups, dtype=np.float64), axis=-1, keepdims=True)
    out = (groups / np.sqrt(mean + op.eps)).astype(np.float32)
    if op.weight is not None:
        weight = inputs.weight(op.weight)
        out = out * weight.reshape(weight.size // op.group, op.group)
    inputs.write(op.out, out.reshape(x.shape))


def l2_norm(op: ops.L2Norm, inputs: Inputs) -> None:
    """Divide each group by its length."""
    x = inputs.read(op.x)
    groups = x.reshape(len(x), x.shape[1] // op.group, op.group)
    total = np.sum(np.square(groups, dtype=np.float64), axis=-1, keepdims=True)
    inputs.write(op.out, (groups / np.sqrt(total + op.eps)).reshape(x.shape))
