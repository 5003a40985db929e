"""DiffusionGemma: block text diffusion on the layers of Gemma 4's 26B-A4B.

Published by Google DeepMind, 2026.

    rows of text:      x = √D · embedding                          layers scaled by ``enc_layer_output_scale``
    rows of a canvas:  x = norm(√D · embedding + mlp(norm(soft)))  layers scaled by ``layer_output_scale``
    soft = √D · Σ_v p_v embedding_v                                p from the canvas's last logits, 0 at first
    mlp(h) = self_cond_down · (gelu(self_cond_gate · h) ⊙ self_cond_up · h)

Differs from gemma4:
- text is only read: prompt and finished blocks run causally and leave their keys and values;
- a canvas is written: its rows see each other in both directions, and text as the first of them does; its keys
  and values are those of one step, and the finished block's take their place;
- a canvas's rows know what was thought of them: the mean embedding under their last distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jackfield.descriptors import ArchitectureDescriptor
from jackfield.hooks import hookimpl
from jackfield.program import BlockDiffusion, Buffer, Builder, GluKind, KvCache, Program, Weight, layers
from jackfield_plugins.architectures import gemma4
from jackfield_plugins.architectures.gemma4 import Config

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["build", "jackfield_architectures"]

LONGEST_CANVAS = 8192
MOST_STEPS = 1 << 16


def read_diffusion(checkpoint: Checkpoint) -> BlockDiffusion:
    """Read how blocks are refined; published files leave all but the length to the defaults."""
    data, default = checkpoint.metadata, BlockDiffusion(1)
    return BlockDiffusion(
        canvas_length=data.integer("diffusion.canvas_length", minimum=1, maximum=LONGEST_CANVAS),
        max_steps=data.integer("diffusion.eb_max_steps", default.max_steps, minimum=1, maximum=MOST_STEPS),
        t_min=data.number("diffusion.eb_t_min", default.t_min, minimum=1e-3, maximum=1e3),
        t_max=data.number("diffusion.eb_t_max", default.t_max, minimum=1e-3, maximum=1e3),
        entropy_bound=data.number("diffusion.eb_entropy_bound", default.entropy_bound, minimum=0),
        stability_threshold=data.integer(
            "diffusion.eb_stability_threshold", default.stability_threshold, minimum=0, maximum=MOST_STEPS
        ),
        confidence_threshold=data.number(
            "diffusion.eb_confidence_threshold", default.confidence_threshold, minimum=0
        ),
    )


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a diffusion-gemma checkpoint."""
    c, diffusion = gemma4.read_config(checkpoint), read_diffusion(checkpoint)
    eps = c.sizes.layer_norm_rms_epsilon
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    table = b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length)
    text = b.embed(table, scale=math.sqrt(c.sizes.embedding_length))
    x = b.choose_rows(canvas=canvas_input(b, c, table, text), text=text)
    caches: list[KvCache] = []
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        y = gemma4.attention(b, c, layer, layers.rms_norm(b, x, f"{block}.attn_norm", eps), caches)
        x = b.add(x, layers.rms_norm(b, y, f"{block}.post_attention_norm", eps))
        if layer == c.sizes.block_count - 1:
            x = b.select_rows(x)  # only the rows whose logits are wanted need the rest
        y = gemma4.mixture(b, c, layer, x) if c.expert_count else gemma4.feed_forward(b, c, layer, x)
        x = b.add(x, layers.rms_norm(b, y, f"{block}.post_ffw_norm", eps))
        x = b.choose_rows(
            canvas=b.scale(x, weight=b.weight(f"{block}.layer_output_scale.weight", 1)),
            text=b.scale(x, weight=b.weight(f"{block}.enc_layer_output_scale.weight", 1)),
        )
    hidden, logits = layers.output_head(b, x, c.sizes)
    logits = b.softcap(logits, c.final_logit_softcapping)
    return b.finish(hidden, logits, c.sizes.context_length, diffusion)


def canvas_input(b: Builder, c: Config, table: Weight, embedding: Buffer) -> Buffer:
    """Return a canvas's rows: their embedding and what self-conditioning makes of their last distribution."""
    eps, inner = c.sizes.layer_norm_rms_epsilon, c.sizes.feed_forward_length[0]
    soft = b.soft_embed(table, scale=math.sqrt(c.sizes.embedding_length))
    h = layers.rms_norm(b, soft, "self_cond_pre_norm", eps)
    gate, up = layers.linear(b, h, "self_cond_gate", inner), layers.linear(b, h, "self_cond_up", inner)
    conditioned = layers.linear(b, b.glu(gate, up, GluKind.GELU), "self_cond_down", embedding.width)
    return b.rms_norm(b.add(embedding, conditioned), None, eps)


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family."""
    return [
        ArchitectureDescriptor(
            name="diffusion-gemma",
            summary="DiffusionGemma: block text diffusion",
            factory="jackfield_plugins.architectures.diffusion_gemma:build",
            aliases=("diffusion_gemma",),
        )
    ]
