"""Qwen 3, dense.

Paper: Yang et al. 2025, arXiv:2505.09388.

    x = x + Wo · attention(rope(norm(q)), rope(norm(k)), v)        q, k, v = projections of norm(x)
    x = x + swiglu(norm(x))

Differs from qwen2:
- each query and key head is normalised before it rotates;
- no biases; the width of a head is not the model's width over the heads;
- long-context files stretch positions by YaRN.
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


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    sizes = read_hyperparameters(checkpoint)
    rope_width = read_rope_width(checkpoint, sizes.key_length)
    return Config(sizes, read_rope_scaling(checkpoint).table(rope_width, RopeLayout.NEOX))


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a qwen3 checkpoint."""
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
        x = b.add(x, layers.gated_feed_forward(b, h, block, c.sizes.feed_forward_length[layer]))
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


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family."""
    return [
        ArchitectureDescriptor(
            name="qwen3",
            summary="Qwen 3, dense",
            factory="jackfield_plugins.architectures.qwen3:build",
        )
    ]
