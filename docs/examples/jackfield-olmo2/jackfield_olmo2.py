"""OLMo 2: a llama that normalises after its layers instead of before.

Paper: OLMo team 2025, "2 OLMo 2 Furious", arXiv:2501.00656.

    x = x + norm(Wo · attention(rope(norm(q)), rope(norm(k)), v))        q, k, v = projections of x
    x = x + norm(swiglu(x))

Differs from llama:
- no norm before attention or feed-forward; their outputs are normalised before the residual sum;
- queries and keys are normalised over the whole projection, not a head at a time;
- rotary pairs are halves of a head (NEOX).

Letters: H query heads, G key/value heads, K head width.
"""

from __future__ import annotations

from dataclasses import dataclass

from jackfield import hookimpl
from jackfield.descriptors import ArchitectureDescriptor
from jackfield.gguf import Checkpoint
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


@dataclass(frozen=True)
class Config:
    """What the file says."""

    sizes: Hyperparameters
    rope: RopeTable


def read_config(checkpoint: Checkpoint) -> Config:
    sizes = read_hyperparameters(checkpoint)
    rope_width = read_rope_width(checkpoint, sizes.key_length)
    return Config(sizes, read_rope_scaling(checkpoint).table(rope_width, RopeLayout.NEOX))


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of an olmo2 checkpoint."""
    c = read_config(checkpoint)
    eps = c.sizes.layer_norm_rms_epsilon
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    x = b.embed(b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length))
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        h = attention(b, c, layer, x)
        x = b.add(x, layers.rms_norm(b, h, f"{block}.post_attention_norm", eps))
        h = layers.gated_feed_forward(b, x, block, c.sizes.feed_forward_length[layer])
        x = b.add(x, layers.rms_norm(b, h, f"{block}.post_ffw_norm", eps))
    hidden, logits = layers.output_head(b, b.select_rows(x), c.sizes)
    return b.finish(hidden, logits, c.sizes.context_length)


def attention(b: Builder, c: Config, layer: int, x: Buffer) -> Buffer:
    """Grouped-query attention over normalised, rotated keys."""
    block, eps = f"blk.{layer}", c.sizes.layer_norm_rms_epsilon
    H, G, K = c.sizes.head_count[layer], c.sizes.head_count_kv[layer], c.sizes.key_length
    q, k, v = layers.project_qkv(b, x, block, H * K, G * K, G * K)
    q = b.rope(layers.rms_norm(b, q, f"{block}.attn_q_norm", eps), K, c.rope)
    k = b.rope(layers.rms_norm(b, k, f"{block}.attn_k_norm", eps), K, c.rope)
    cache = b.kv_cache(G, K)
    b.kv_append(k, v, cache)
    out = b.attend(q, cache, H, scale=K**-0.5)
    return layers.linear(b, out, f"{block}.attn_output", c.sizes.embedding_length)


@hookimpl
def jackfield_architectures() -> list[ArchitectureDescriptor]:
    return [
        ArchitectureDescriptor(
            name="olmo2", summary="OLMo 2 (post-norm llama)", factory="jackfield_olmo2:build"
        )
    ]
