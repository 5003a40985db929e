"""Phi-3, Phi-3.5, Phi-4 and Phi-4-mini.

Papers: Abdin et al. 2024, arXiv:2404.14219; long contexts: Ding et al. 2024, arXiv:2402.13753 (LongRoPE).

    x = x + Wo · attention(rope(q), rope(k), v)        q, k, v = rows of one matrix times norm(x)
    x = x + swiglu(norm(x))                            gate and up are rows of one matrix

Differs from llama:
- positions rotate the two halves of a head against each other, in some models only the first columns;
- each frequency has a divisor, one set for contexts up to the original length and one for longer ones.
  The context the model is opened for decides, not the length of a sequence: keys that are cached stay valid;
- ``rope.scaling.attn_factor`` multiplies cosine and sine; a sliding window in the metadata is not used.
"""

from __future__ import annotations

import dataclasses
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
    LongRope,
    Program,
    RopeLayout,
    RopeTable,
    layers,
    read_hyperparameters,
    read_original_context,
    read_rope_factors,
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
    return Config(sizes, read_rope(checkpoint, read_rope_width(checkpoint, sizes.key_length)))


def read_rope(checkpoint: Checkpoint, width: int) -> RopeTable:
    """Make the table for short contexts, and where the file has it the one for long contexts."""
    short = read_rope_factors(checkpoint, "rope_factors_short.weight", width)
    long = read_rope_factors(checkpoint, "rope_factors_long.weight", width)
    if (short is None) != (long is None):
        absent = "long" if long is None else "short"
        raise CheckpointError(f"phi3: tensor 'rope_factors_{absent}.weight' is missing, the other is there")
    scaling = read_rope_scaling(checkpoint)
    table = scaling.table(width, RopeLayout.NEOX, short)
    if long is None:
        return table
    stretched = scaling.table(width, RopeLayout.NEOX, long).frequencies
    return dataclasses.replace(table, long=LongRope(stretched, read_original_context(checkpoint)))


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a phi3 checkpoint."""
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
    """Grouped-query attention over rotated keys."""
    heads, kv_heads = c.sizes.head_count[layer], c.sizes.head_count_kv[layer]
    width, v_width = c.sizes.key_length, c.sizes.value_length
    q, k, v = layers.project_qkv(b, h, f"blk.{layer}", heads * width, kv_heads * width, kv_heads * v_width)
    cache = b.kv_cache(kv_heads, width, v_width)
    b.kv_append(b.rope(k, width, c.rope), v, cache)
    out = b.attend(b.rope(q, width, c.rope), cache, heads, scale=width**-0.5)
    return layers.linear(b, out, f"blk.{layer}.attn_output", c.sizes.embedding_length)


def feed_forward(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """SwiGLU: the first rows of ``ffn_up`` are the gate, the others what it gates."""
    block, inner = f"blk.{layer}", c.sizes.feed_forward_length[layer]
    both = b.weight(f"{block}.ffn_up.weight", 2 * inner, h.width)
    scale = b.optional_weight(f"{block}.ffn_up.scale", 1)
    gate = b.linear(h, both.rows(0, inner), None, scale)
    up = b.linear(h, both.rows(inner, 2 * inner), None, scale)
    return layers.linear(b, b.glu(gate, up), f"{block}.ffn_down", c.sizes.embedding_length)


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family."""
    return [
        ArchitectureDescriptor(
            name="phi3",
            summary="Phi-3, Phi-3.5 and Phi-4",
            factory="jackfield_plugins.architectures.phi3:build",
        )
    ]
