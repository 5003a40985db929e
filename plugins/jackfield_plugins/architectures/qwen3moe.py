"""Qwen 3, mixture of experts.

Paper: Yang et al. 2025, arXiv:2505.09388.

    x = x + Wo · attention(rope(norm(q)), rope(norm(k)), v)        q, k, v = projections of norm(x)
    x = x + Σ_j w_j · swiglu_j(norm(x))                            over the best experts j of the row

Differs from qwen3:
- every feed-forward is a set of experts; the weights of those used are made to sum to one;
- experts have a width of their own, ``expert_feed_forward_length``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jackfield.descriptors import ArchitectureDescriptor
from jackfield.hooks import hookimpl
from jackfield.program import (
    Buffer,
    Builder,
    Hyperparameters,
    Program,
    RopeLayout,
    RopeTable,
    layers,
    read_expert_counts,
    read_expert_width,
    read_hyperparameters,
    read_rope_scaling,
    read_rope_width,
)

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["build", "jackfield_architectures"]


@dataclass(frozen=True)
class Config:
    """What the file says."""

    sizes: Hyperparameters
    rope: RopeTable
    expert_count: int
    expert_used_count: int
    expert_feed_forward_length: int


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    sizes = read_hyperparameters(checkpoint)
    rope_width = read_rope_width(checkpoint, sizes.key_length)
    expert_count, expert_used_count = read_expert_counts(checkpoint)
    return Config(
        sizes=sizes,
        rope=read_rope_scaling(checkpoint).table(rope_width, RopeLayout.NEOX),
        expert_count=expert_count,
        expert_used_count=expert_used_count,
        expert_feed_forward_length=read_expert_width(checkpoint),
    )


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a qwen3moe checkpoint."""
    c = read_config(checkpoint)
    eps = c.sizes.layer_norm_rms_epsilon
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    x = b.embed(b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length))
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        x = b.add(x, attention(b, c, layer, layers.rms_norm(b, x, f"{block}.attn_norm", eps)))
        if layer == c.sizes.block_count - 1:
            x = b.select_rows(x)  # only the rows whose logits are wanted need the rest
        h = layers.rms_norm(b, x, f"{block}.ffn_norm", eps)
        x = b.add(x, mixture(b, c, block, h))
    hidden, logits = layers.output_head(b, x, c.sizes)
    return b.finish(hidden, logits, c.sizes.context_length)


def attention(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """Grouped-query attention over normalised, rotated keys."""
    block, eps = f"blk.{layer}", c.sizes.layer_norm_rms_epsilon
    heads, kv_heads = c.sizes.head_count[layer], c.sizes.head_count_kv[layer]
    width, v_width = c.sizes.key_length, c.sizes.value_length
    q, k, v = layers.project_qkv(b, h, block, heads * width, kv_heads * width, kv_heads * v_width)
    q = b.rope(layers.rms_norm(b, q, f"{block}.attn_q_norm", eps, group=width), width, c.rope)
    k = b.rope(layers.rms_norm(b, k, f"{block}.attn_k_norm", eps, group=width), width, c.rope)
    cache = b.kv_cache(kv_heads, width, v_width)
    b.kv_append(k, v, cache)
    out = b.attend(q, cache, heads, scale=width**-0.5)
    return layers.linear(b, out, f"{block}.attn_output", c.sizes.embedding_length)


def mixture(b: Builder, c: Config, block: str, h: Buffer) -> Buffer:
    """Route each row to its best experts and sum what they say."""
    logits = layers.linear(b, h, f"{block}.ffn_gate_inp", c.expert_count)
    routed = b.route_top_k(logits, c.expert_used_count)
    return layers.experts(b, h, block, routed, c.expert_count, c.expert_feed_forward_length)


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family."""
    return [
        ArchitectureDescriptor(
            name="qwen3moe",
            summary="Qwen 3, mixture of experts",
            factory="jackfield_plugins.architectures.qwen3moe:build",
        )
    ]
