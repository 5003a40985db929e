"""Ops on single elements, and the functions they share with the experts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.program import Activation, GluKind, Inputs, ops

__all__ = ["activate", "activation", "add", "add_bias", "gated", "glu", "mul", "scale", "softcap"]

F32 = npt.NDArray[np.float32]
OAI_LIMIT = np.float32(7)
OAI_SLOPE = np.float32(1.702)
GELU_SLOPE = np.float32(np.sqrt(2 / np.pi))


def sigmoid(x: F32) -> F32:
    """Return ``1 / (1 + e^-x)`` without overflow."""
    half: F32 = np.float32(0.5) * x
    out: F32 = np.float32(0.5) * (np.float32(1) + np.tanh(half))
    return out


def gelu(x: F32) -> F32:
    """Return the tanh form of GELU."""
    inner: F32 = GELU_SLOPE * x * (np.float32(1) + np.float32(0.044715) * x * x)
    bend: F32 = np.tanh(inner)
    return np.float32(0.5) * x * (np.float32(1) + bend)


def relu2(x: F32) -> F32:
    """Return ``max(x, 0) ** 2``."""
    return np.square(np.maximum(x, np.float32(0)))


def softplus(x: F32) -> F32:
    """Return ``ln(1 + e^x)`` without overflow."""
    return np.logaddexp(np.float32(0), x)


def activation(x: F32, kind: Activation) -> F32:
    """Apply the function of that name."""
    match kind:
        case Activation.SILU:
            return x * sigmoid(x)
        case Activation.GELU:
            return gelu(x)
        case Activation.RELU2:
            return relu2(x)
        case Activation.SIGMOID:
            return sigmoid(x)
        case Activation.SOFTPLUS:
            return softplus(x)


def gated(gate: F32, up: F32, kind: GluKind) -> F32:
    """Return ``kind(gate) * up``."""
    match kind:
        case GluKind.SILU:
            return gate * sigmoid(gate) * up
        case GluKind.GELU:
            return gelu(gate) * up
        case GluKind.SIGMOID:
            return sigmoid(gate) * up
        case GluKind.OAI:
            g, u = np.minimum(gate, OAI_LIMIT), np.clip(up, -OAI_LIMIT, OAI_LIMIT)
            return g * sigmoid(OAI_SLOPE * g) * (u + np.float32(1))
        case GluKind.RELU2:
            return relu2(up)


def add(op: ops.Add, inputs: Inputs) -> None:
    """Add two buffers."""
    inputs.write(op.out, inputs.read(op.x) + inputs.read(op.y))


def add_bias(op: ops.AddBias, inputs: Inputs) -> None:
    """Add one row to every row."""
    inputs.write(op.out, inputs.read(op.x) + inputs.weight(op.bias).reshape(-1))


def mul(op: ops.Mul, inputs: Inputs) -> None:
    """Multiply; one column spreads over all."""
    inputs.write(op.out, inputs.read(op.x) * inputs.read(op.y))


def scale(op: ops.Scale, inputs: Inputs) -> None:
    """Multiply by a constant and a weight."""
    out = inputs.read(op.x) * np.float32(op.factor)
    inputs.write(op.out, out if op.weight is None else out * inputs.weight(op.weight).reshape(-1))


def activate(op: ops.Activate, inputs: Inputs) -> None:
    """Apply a function to every element."""
    inputs.write(op.out, activation(inputs.read(op.x), op.kind))


def glu(op: ops.Glu, inputs: Inputs) -> None:
    """Gate one buffer by another."""
    inputs.write(op.out, gated(inputs.read(op.gate), inputs.read(op.up), op.kind))


def softcap(op: ops.Softcap, inputs: Inputs) -> None:
    """Bound values smoothly."""
    cap = np.float32(op.cap)
    inputs.write(op.out, cap * np.tanh(inputs.read(op.x) / cap))
