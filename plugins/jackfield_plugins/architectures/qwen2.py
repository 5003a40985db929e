"""Qwen 2 and 2.5.

Paper: Yang et al. 2024, arXiv:2407.10671.

    x = x + Wo · attention(rope(q), rope(k), v)        q, k, v = projections of norm(x), with biases
    x = x + swiglu(norm(x))

Differs from llama:
- queries, keys and values have biases;
- positions rotate the two halves of a head against each other;
- small models tie the head to the embedding.
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
    """Write the forward pass of a qwen2 checkpoint."""
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
    """Grouped-query attention over rotated keys."""
    heads, kv_heads = c.sizes.head_count[layer], c.sizes.head_count_kv[layer]
    width, v_width = c.sizes.key_length, c.sizes.value_length
    q, k, v = layers.project_qkv(b, h, f"blk.{layer}", heads * width, kv_heads * width, kv_heads * v_width)
    cache = b.kv_cache(kv_heads, width, v_width)
    b.kv_append(b.rope(k, width, c.rope), v, cache)
    out = b.attend(b.rope(q, width, c.rope), cache, heads, scale=width**-0.5)
    return layers.linear(b, out, f"blk.{layer}.attn_output", c.sizes.embedding_length)


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family."""
    return [
        ArchitectureDescriptor(
            name="qwen2",
            summary="Qwen 2 and 2.5",
            factory="jackfield_plugins.architectures.qwen2:build",
        )
    ]
