"""Gemma 3, its text part.

Paper: Gemma Team 2025, arXiv:2503.19786.

    x = √D · embedding
    x = x + norm(Wo · attention(rope(norm(q)), rope(norm(k)), v))        q, k, v = projections of norm(x)
    x = x + norm(geglu(norm(x)))

Differs from gemma2:
- each query and key head is normalised before it rotates; attention scores have no soft cap;
- five layers with a sliding window are followed by one that sees everything;
- the layers with a window rotate by a base of their own, unstretched;
- logits are bounded only where the file says so; the 27B model is told by its 62 layers.

Files made by Ollama leave out what all published models share: epsilon, base, and the factor 8 of those with a context
of 131072.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jackfield.descriptors import ArchitectureDescriptor
from jackfield.hooks import hookimpl
from jackfield.program import (
    Buffer,
    Builder,
    GluKind,
    Hyperparameters,
    Program,
    RopeLayout,
    RopeScaling,
    RopeTable,
    layers,
    read_hyperparameters,
    read_rope_scaling,
    read_rope_width,
    read_windows,
)

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["build", "jackfield_architectures"]

LAYERS_OF_27B = 62
WINDOWED_BASE = 10000.0
PUBLISHED_EPS = 1e-6
PUBLISHED_BASE = 1e6
PUBLISHED_FACTOR = 8.0
STRETCHED_CONTEXT = 131_072


@dataclass(frozen=True)
class Config:
    """What the file says; ``windows`` has for each layer how many positions it sees, ``None`` for all."""

    sizes: Hyperparameters
    rope: RopeTable
    rope_windowed: RopeTable
    windows: tuple[int | None, ...]
    final_logit_softcapping: float

    @property
    def attention_scale(self) -> float:
        """What scores are multiplied by."""
        is_27b = self.sizes.block_count == LAYERS_OF_27B
        shared_width = self.sizes.embedding_length // self.sizes.head_count[0]
        return 1 / math.sqrt(shared_width if is_27b else self.sizes.key_length)


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    sizes = read_hyperparameters(checkpoint, eps=PUBLISHED_EPS if is_made_by_ollama(checkpoint) else None)
    data = checkpoint.metadata
    key = data.of_architecture
    width = read_rope_width(checkpoint, sizes.key_length)
    scaling = read_scaling(checkpoint)
    return Config(
        sizes=sizes,
        rope=scaling.table(width, RopeLayout.NEOX),
        rope_windowed=scaling.rebased(checkpoint, WINDOWED_BASE, 1.0).table(width, RopeLayout.NEOX),
        windows=read_windows(checkpoint, period=6),
        final_logit_softcapping=data.number(key("final_logit_softcapping"), 0.0, minimum=0.0, maximum=1e6),
    )


def is_made_by_ollama(checkpoint: Checkpoint) -> bool:
    """Tell a file of Ollama's converter by what it alone leaves out or adds."""
    data = checkpoint.metadata
    key = data.of_architecture
    has_own_keys = any(key(name) in data for name in ("rope.global.freq_base", "mm.tokens_per_image"))
    return has_own_keys or key("attention.layer_norm_rms_epsilon") not in data


def read_scaling(checkpoint: Checkpoint) -> RopeScaling:
    """Read how positions rotate in the layers that see everything."""
    if not is_made_by_ollama(checkpoint):
        return read_rope_scaling(checkpoint)
    data = checkpoint.metadata
    key = data.of_architecture
    is_stretched = data.integer(key("context_length"), minimum=1) >= STRETCHED_CONTEXT
    return read_rope_scaling(
        checkpoint,
        base=data.number(key("rope.global.freq_base"), PUBLISHED_BASE, minimum=2.0, maximum=1e30),
        factor=PUBLISHED_FACTOR if is_stretched else 1.0,
    )


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a gemma3 checkpoint."""
    c = read_config(checkpoint)
    eps = c.sizes.layer_norm_rms_epsilon
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    table = b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length)
    x = b.embed(table, scale=math.sqrt(c.sizes.embedding_length))
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        y = attention(b, c, layer, layers.rms_norm(b, x, f"{block}.attn_norm", eps))
        x = b.add(x, layers.rms_norm(b, y, f"{block}.post_attention_norm", eps))
        if layer == c.sizes.block_count - 1:
            x = b.select_rows(x)  # only the rows whose logits are wanted need the rest
        h = layers.rms_norm(b, x, f"{block}.ffn_norm", eps)
        y = layers.gated_feed_forward(b, h, block, c.sizes.feed_forward_length[layer], GluKind.GELU)
        x = b.add(x, layers.rms_norm(b, y, f"{block}.post_ffw_norm", eps))
    hidden, logits = layers.output_head(b, x, c.sizes)
    if c.final_logit_softcapping:
        logits = b.softcap(logits, c.final_logit_softcapping)
    return b.finish(hidden, logits, c.sizes.context_length)


def attention(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """Grouped-query attention over normalised, rotated keys, in a window on most layers."""
    block, eps = f"blk.{layer}", c.sizes.layer_norm_rms_epsilon
    heads, kv_heads = c.sizes.head_count[layer], c.sizes.head_count_kv[layer]
    width, v_width = c.sizes.key_length, c.sizes.value_length
    window = c.windows[layer]
    rope = c.rope_windowed if window else c.rope
    q, k, v = layers.project_qkv(b, h, block, heads * width, kv_heads * width, kv_heads * v_width)
    q = b.rope(layers.rms_norm(b, q, f"{block}.attn_q_norm", eps, group=width), width, rope)
    k = b.rope(layers.rms_norm(b, k, f"{block}.attn_k_norm", eps, group=width), width, rope)
    cache = b.kv_cache(kv_heads, width, v_width, window)
    b.kv_append(k, v, cache)
    out = b.attend(q, cache, heads, scale=c.attention_scale, window=window)
    return layers.linear(b, out, f"{block}.attn_output", c.sizes.embedding_length)


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family."""
    return [
        ArchitectureDescriptor(
            name="gemma3",
            summary="Gemma 3, text",
            factory="jackfield_plugins.architectures.gemma3:build",
        )
    ]
