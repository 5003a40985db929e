"""Mistral Small 3.1, Ministral 3, Devstral 2.

Announced by Mistral AI, 2025; the query's growth with its position is that of Llama 4 (Meta AI, 2025).

    x = x + Wo · attention(grow(rope(q)), rope(k), v)        q, k, v = projections of norm(x)
    x = x + feed_forward(norm(x))                            SwiGLU, or experts of it

Differs from llama:
- positions are stretched by YaRN, with the bounds and the magnitude that the file gives;
- where ``attention.temperature_scale`` β is given, ``grow`` multiplies the query at position p by
  ``1 + β ln(1 + floor(p / original_context_length))``. The vocabulary has no such op: this file brings it.

Files made by Ollama have other names for β, YaRN's bounds and its magnitude; they are read too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jackfield.descriptors import ArchitectureDescriptor, OpDescriptor
from jackfield.hooks import hookimpl
from jackfield.program import (
    Buffer,
    Builder,
    Hyperparameters,
    Inputs,
    Op,
    Program,
    RopeLayout,
    RopeTable,
    has_experts,
    layers,
    read_expert_counts,
    read_hyperparameters,
    read_original_context,
    read_rope_scaling,
    read_rope_width,
)

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["PositionScale", "build", "jackfield_architectures", "jackfield_ops", "position_scale"]


@dataclass(frozen=True)
class PositionScale(Op):
    """``out[t] = x[t] * (1 + beta * ln(1 + floor(position[t] / period)))``."""

    x: Buffer
    beta: float
    period: int
    out: Buffer


def position_scale(op: PositionScale, inputs: Inputs) -> None:
    """Scale each row by its position."""
    periods = inputs.positions(op.x.rows) // op.period
    factors = 1 + op.beta * np.log1p(periods)
    inputs.write(op.out, inputs.read(op.x) * factors[:, None].astype(np.float32))


@dataclass(frozen=True)
class Config:
    """What the file says."""

    sizes: Hyperparameters
    rope: RopeTable
    original_context_length: int
    temperature_scale: float
    expert_count: int
    expert_used_count: int


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    sizes = read_hyperparameters(checkpoint)
    expert_count, expert_used_count = read_expert_counts(checkpoint) if has_experts(checkpoint) else (0, 0)
    return Config(
        sizes=sizes,
        rope=read_rope(checkpoint, sizes.key_length),
        original_context_length=read_original_context(checkpoint),
        temperature_scale=read_either(checkpoint, "attention.temperature_scale", "rope.scaling_beta", 0.0),
        expert_count=expert_count,
        expert_used_count=expert_used_count,
    )


def read_rope(checkpoint: Checkpoint, key_length: int) -> RopeTable:
    """Make the rotary table, with YaRN as the file spells it."""
    prefix = "rope.scaling"
    scaling = read_rope_scaling(checkpoint).with_betas(
        fast=read_either(checkpoint, f"{prefix}.yarn_beta_fast", f"{prefix}.beta_fast", 32.0) or 32.0,
        slow=read_either(checkpoint, f"{prefix}.yarn_beta_slow", f"{prefix}.beta_slow", 1.0) or 1.0,
        log_multiplier=read_either(
            checkpoint, f"{prefix}.yarn_log_multiplier", f"{prefix}.mscale_all_dim", 0.0
        ),
    )
    return scaling.table(read_rope_width(checkpoint, key_length), RopeLayout.NORM)


def read_either(checkpoint: Checkpoint, name: str, name_of_ollama: str, default: float) -> float:
    """Return the number under the usual name, or under the one that Ollama gives it."""
    data = checkpoint.metadata
    other = data.number(data.of_architecture(name_of_ollama), default, minimum=0.0, maximum=1e6)
    return data.number(data.of_architecture(name), other, minimum=0.0, maximum=1e6)


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a mistral3 checkpoint."""
    c = read_config(checkpoint)
    eps = c.sizes.layer_norm_rms_epsilon
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    x = b.embed(b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length))
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        x = b.add(x, attention(b, c, layer, layers.rms_norm(b, x, f"{block}.attn_norm", eps)))
        if layer == c.sizes.block_count - 1:
            x = b.select_rows(x)  # only the rows whose logits are wanted need the rest
        x = b.add(x, feed_forward(b, c, layer, layers.rms_norm(b, x, f"{block}.ffn_norm", eps)))
    hidden, logits = layers.output_head(b, x, c.sizes)
    return b.finish(hidden, logits, c.sizes.context_length)


def attention(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """Grouped-query attention over rotated keys, with queries that grow with their position."""
    heads, kv_heads = c.sizes.head_count[layer], c.sizes.head_count_kv[layer]
    width, v_width = c.sizes.key_length, c.sizes.value_length
    q, k, v = layers.project_qkv(b, h, f"blk.{layer}", heads * width, kv_heads * width, kv_heads * v_width)
    cache = b.kv_cache(kv_heads, width, v_width)
    b.kv_append(b.rope(k, width, c.rope), v, cache)
    q = b.rope(q, width, c.rope)
    if c.temperature_scale:
        q = grow(b, c, q)
    out = b.attend(q, cache, heads, scale=width**-0.5)
    return layers.linear(b, out, f"blk.{layer}.attn_output", c.sizes.embedding_length)


def grow(b: Builder, c: Config, q: Buffer) -> Buffer:
    """Add the op that scales queries by their position."""
    out = b.buffer(q.width)
    b.append(PositionScale(q, c.temperature_scale, c.original_context_length, out))
    return out


def feed_forward(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """SwiGLU, or the best of its experts with weights that sum to one."""
    block, inner = f"blk.{layer}", c.sizes.feed_forward_length[layer]
    if c.expert_count == 0:
        return layers.gated_feed_forward(b, h, block, inner)
    logits = layers.linear(b, h, f"{block}.ffn_gate_inp", c.expert_count)
    routed = b.route_top_k(logits, c.expert_used_count)
    return layers.experts(b, h, block, routed, c.expert_count, inner)


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family."""
    return [
        ArchitectureDescriptor(
            name="mistral3",
            summary="Mistral Small 3.1, Ministral 3, Devstral 2",
            factory="jackfield_plugins.architectures.mistral3:build",
        )
    ]


@hookimpl
def jackfield_ops() -> Sequence[OpDescriptor]:
    """Declare the op that the vocabulary lacks."""
    return [
        OpDescriptor(
            name="position_scale",
            summary="rows that grow with the logarithm of their position",
            factory="jackfield_plugins.architectures.mistral3:PositionScale",
            reference="jackfield_plugins.architectures.mistral3:position_scale",
        )
    ]
