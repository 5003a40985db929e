"""Llama 1–3.x, Mistral 7B, Mixtral, and the many models that share their checkpoint layout.

Papers: Touvron et al. 2023, arXiv:2302.13971; Grattafiori et al. 2024, arXiv:2407.21783; Jiang et al. 2024,
arXiv:2401.04088 (mixture of experts).

    x = x + Wo · attention(rope(q), rope(k), v)        q, k, v = projections of norm(x)
    x = x + feed_forward(norm(x))                      SwiGLU, or experts of it

- Positions rotate neighbouring columns: conversion has permuted rows of ``attn_q`` and ``attn_k`` for that.
- ``rope_freqs`` (Llama 3.1) divides the frequencies; a sliding window in the metadata is not used.
- Biases are added where the file has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jackfield.descriptors import ArchitectureDescriptor
from jackfield.errors import CheckpointError
from jackfield.hooks import hookimpl
from jackfield.program import (
    Buffer,
    Builder,
    Hyperparameters,
    Program,
    RopeLayout,
    RopeTable,
    has_experts,
    layers,
    read_expert_counts,
    read_hyperparameters,
    read_rope_factors,
    read_rope_scaling,
    read_rope_width,
)

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["build", "jackfield_architectures"]


@dataclass(frozen=True)
class Config:
    """What the file says, under the names of its keys."""

    sizes: Hyperparameters
    rope: RopeTable
    expert_count: int
    expert_used_count: int


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    sizes = read_hyperparameters(checkpoint)
    rope = read_rope(checkpoint, sizes.key_length)
    experts = read_expert_counts(checkpoint) if has_experts(checkpoint) else (0, 0)
    return Config(sizes, rope, *experts)


def read_rope(checkpoint: Checkpoint, key_length: int) -> RopeTable:
    """Make the rotary table; ``rope_freqs`` has a divisor for each pair."""
    width = read_rope_width(checkpoint, key_length)
    if width != key_length:
        raise CheckpointError(f"llama: {width} of {key_length} columns of a head rotate; expected all")
    factors = read_rope_factors(checkpoint, "rope_freqs.weight", width)
    return read_rope_scaling(checkpoint).table(width, RopeLayout.NORM, factors)


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a llama checkpoint."""
    c = read_config(checkpoint)
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    x = b.embed(b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length))
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        h = layers.rms_norm(b, x, f"{block}.attn_norm", c.sizes.layer_norm_rms_epsilon)
        x = b.add(x, attention(b, c, layer, h))
        if layer == c.sizes.block_count - 1:
            x = b.select_rows(x)  # only the rows whose logits are wanted need the rest
        h = layers.rms_norm(b, x, f"{block}.ffn_norm", c.sizes.layer_norm_rms_epsilon)
        x = b.add(x, feed_forward(b, c, layer, h))
    hidden, logits = layers.output_head(b, x, c.sizes)
    return b.finish(hidden, logits, c.sizes.context_length)


def attention(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """Grouped-query attention over rotated keys."""
    heads, kv_heads = c.sizes.head_count[layer], c.sizes.head_count_kv[layer]
    width, v_width = c.sizes.key_length, c.sizes.value_length
    q, k, v = layers.project_qkv(b, h, f"blk.{layer}", heads * width, kv_heads * width, kv_heads * v_width)
    cache = b.kv_cache(kv_heads, width, v_width)
    b.kv_append(b.rope(k, width, c.rope), v, cache)
    out = b.attend(b.rope(q, width, c.rope), cache, heads, scale=width**-0.5)
    return layers.linear(b, out, f"blk.{layer}.attn_output", c.sizes.embedding_length)


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
            name="llama",
            summary="Llama 1-3, Mistral, Mixtral and relatives",
            factory="jackfield_plugins.architectures.llama:build",
        )
    ]
