"""Gemma 4: E2B, E4B, 12B, 31B and 26B-A4B, their text part, and DiffusionGemma on the layers of 26B-A4B.

Published by Google DeepMind, 2026.

    x = √D · embedding
    x = x + norm(Wo · attention(rope(norm(q)), rope(norm(k)), norm(v)))        projections of norm(x)
    x = x + norm(feed_forward)                 geglu(norm(x)); with experts see ``mixture``
    x = x + norm(proj · (gelu(inp_gate · x) ⊙ input of the layer))             E-series only
    x = x · layer_output_scale

Differs from gemma3:
- scores are not scaled; values are normalised too, without a weight;
- layers that see everything have heads of another width and number, and where ``attn_v`` is missing use the
  raw keys as values; ``rope_freqs`` freezes most of their pairs;
- the last ``shared_kv_layers`` layers have no keys of their own: they attend to the cache of the last layer of
  their kind that has;
- the E-series gives each layer an input of its own, from a second embedding and from the first;
- 26B-A4B runs experts beside the dense feed-forward; their router reads the residual stream.

DiffusionGemma writes in blocks that it refines as a whole. The same weights serve two kinds of rows:

    text:    x = √D · embedding                                 layers scaled by ``enc_layer_output_scale``
    canvas:  x = norm(√D · embedding + mlp(norm(soft)))         layers scaled by ``layer_output_scale``
    soft = √D · Σ_v p_v embedding_v                             p from the canvas's last logits, 0 at first

- Text, the prompt and finished blocks, is only read: causally, for its keys and values.
- A canvas is written. Its rows see each other in both directions, and text as the first of them does; its keys and
  values live for one step, and the finished block's take their place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jackfield.descriptors import ArchitectureDescriptor
from jackfield.errors import CheckpointError
from jackfield.hooks import hookimpl
from jackfield.program import (
    BlockDiffusion,
    Buffer,
    Builder,
    GluKind,
    Hyperparameters,
    KvCache,
    Program,
    RopeLayout,
    RopeTable,
    Weight,
    has_experts,
    layers,
    read_expert_counts,
    read_hyperparameters,
    read_rope_factors,
    read_rope_scaling,
    read_rope_width,
    read_windows,
)

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["build", "build_diffusion", "jackfield_architectures"]

WINDOWED_BASE = 10000.0
MAX_WIDTH = 1 << 20
LONGEST_CANVAS = 8192
MOST_STEPS = 1 << 16


@dataclass(frozen=True)
class Heads:
    """Attention of one kind of layer: those with a window, or those that see everything."""

    key_length: int
    value_length: int
    rope: RopeTable


@dataclass(frozen=True)
class Config:
    """What the file says; ``windows`` has for each layer how many positions it sees, ``None`` for all."""

    sizes: Hyperparameters
    full: Heads
    windowed: Heads
    windows: tuple[int | None, ...]
    shared_kv_layers: int
    embedding_length_per_layer_input: int
    final_logit_softcapping: float
    expert_count: int
    expert_used_count: int
    expert_feed_forward_length: int

    def heads(self, layer: int) -> Heads:
        """Return the attention of a layer's kind."""
        return self.windowed if self.windows[layer] else self.full

    @property
    def num_own_kv(self) -> int:
        """How many layers, from the first on, have keys and values of their own."""
        return self.sizes.block_count - self.shared_kv_layers


# ---- what the file says ----


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    sizes = read_hyperparameters(checkpoint)
    data = checkpoint.metadata
    key = data.of_architecture
    expert_count, expert_used_count = read_expert_counts(checkpoint) if has_experts(checkpoint) else (0, 0)
    return Config(
        sizes=sizes,
        full=read_full_heads(checkpoint, sizes),
        windowed=read_windowed_heads(checkpoint, sizes),
        windows=read_pattern(checkpoint),
        shared_kv_layers=data.integer(
            key("attention.shared_kv_layers"), 0, minimum=0, maximum=sizes.block_count - 1
        ),
        embedding_length_per_layer_input=data.integer(
            key("embedding_length_per_layer_input"), 0, minimum=0, maximum=MAX_WIDTH
        ),
        final_logit_softcapping=data.number(key("final_logit_softcapping"), 30.0, minimum=1e-3, maximum=1e6),
        expert_count=expert_count,
        expert_used_count=expert_used_count,
        expert_feed_forward_length=data.integer(key("expert_feed_forward_length"), 0, minimum=0),
    )


def read_pattern(checkpoint: Checkpoint) -> tuple[int | None, ...]:
    """Return each layer's window; both keys must be there."""
    data = checkpoint.metadata
    data.booleans(data.of_architecture("attention.sliding_window_pattern"))
    data.integer(data.of_architecture("attention.sliding_window"), minimum=1)
    return read_windows(checkpoint, period=1)


def read_full_heads(checkpoint: Checkpoint, sizes: Hyperparameters) -> Heads:
    """Read the attention of layers that see everything."""
    width = read_rope_width(checkpoint, sizes.key_length)
    factors = read_rope_factors(checkpoint, "rope_freqs.weight", width)
    rope = read_rope_scaling(checkpoint).table(width, RopeLayout.NEOX, factors)
    return Heads(sizes.key_length, sizes.value_length, rope)


def read_windowed_heads(checkpoint: Checkpoint, sizes: Hyperparameters) -> Heads:
    """Read the attention of layers with a window."""
    data = checkpoint.metadata
    key = data.of_architecture
    key_length = data.integer(key("attention.key_length_swa"), sizes.key_length, minimum=1, maximum=MAX_WIDTH)
    value_length = data.integer(
        key("attention.value_length_swa"), sizes.value_length, minimum=1, maximum=MAX_WIDTH
    )
    width = read_rope_width(checkpoint, key_length, "rope.dimension_count_swa")
    scaling = read_rope_scaling(checkpoint).rebased(checkpoint, WINDOWED_BASE, 1.0)
    return Heads(key_length, value_length, scaling.table(width, RopeLayout.NEOX))


# ---- the forward pass ----


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a gemma4 checkpoint."""
    c = read_config(checkpoint)
    eps = c.sizes.layer_norm_rms_epsilon
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    table = b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length)
    x = b.embed(table, scale=math.sqrt(c.sizes.embedding_length))
    extra = layer_inputs(b, c, x) if c.embedding_length_per_layer_input else None
    caches: list[KvCache] = []
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        y = attention(b, c, layer, layers.rms_norm(b, x, f"{block}.attn_norm", eps), caches)
        x = b.add(x, layers.rms_norm(b, y, f"{block}.post_attention_norm", eps))
        if layer == c.sizes.block_count - 1:
            x = b.select_rows(x)  # only the rows whose logits are wanted need the rest
            extra = None if extra is None else b.select_rows(extra)
        y = mixture(b, c, layer, x) if c.expert_count else feed_forward(b, c, layer, x)
        x = b.add(x, layers.rms_norm(b, y, f"{block}.post_ffw_norm", eps))
        if extra is not None:
            x = b.add(x, injection(b, c, layer, x, extra))
        output_scale = b.optional_weight(f"{block}.layer_output_scale.weight", 1)
        x = x if output_scale is None else b.scale(x, weight=output_scale)
    hidden, logits = layers.output_head(b, x, c.sizes)
    return b.finish(hidden, b.softcap(logits, c.final_logit_softcapping), c.sizes.context_length)


def attention(b: Builder, c: Config, layer: int, h: Buffer, caches: list[KvCache]) -> Buffer:
    """Grouped-query attention over normalised, rotated keys; ``caches`` has those of the layers before."""
    block, eps = f"blk.{layer}", c.sizes.layer_norm_rms_epsilon
    head_count, heads = c.sizes.head_count[layer], c.heads(layer)
    q = layers.linear(b, h, f"{block}.attn_q", head_count * heads.key_length)
    q = layers.rms_norm(b, q, f"{block}.attn_q_norm", eps, group=heads.key_length)
    q = b.rope(q, heads.key_length, heads.rope)
    if layer < c.num_own_kv:
        caches.append(store_keys_and_values(b, c, layer, h))
    cache = caches[shared_cache(c, layer)]
    out = b.attend(q, cache, head_count, scale=1.0, window=c.windows[layer])
    return layers.linear(b, out, f"{block}.attn_output", c.sizes.embedding_length)


def store_keys_and_values(b: Builder, c: Config, layer: int, h: Buffer) -> KvCache:
    """Append a layer's keys and values to a cache of its own."""
    block, eps = f"blk.{layer}", c.sizes.layer_norm_rms_epsilon
    kv_heads, heads = c.sizes.head_count_kv[layer], c.heads(layer)
    k = v = layers.linear(b, h, f"{block}.attn_k", kv_heads * heads.key_length)
    if b.has(f"{block}.attn_v.weight"):
        v = layers.linear(b, h, f"{block}.attn_v", kv_heads * heads.value_length)
    k = layers.rms_norm(b, k, f"{block}.attn_k_norm", eps, group=heads.key_length)
    cache = b.kv_cache(kv_heads, heads.key_length, heads.value_length, c.windows[layer])
    b.kv_append(
        b.rope(k, heads.key_length, heads.rope), b.rms_norm(v, None, eps, group=heads.value_length), cache
    )
    return cache


def shared_cache(c: Config, layer: int) -> int:
    """Return which layer's cache a layer attends to: its own, or that of the last of its kind."""
    if layer < c.num_own_kv:
        return layer
    alike = [other for other in range(c.num_own_kv) if c.windows[other] == c.windows[layer]]
    if not alike:
        raise CheckpointError(
            f"gemma4: layer {layer} shares keys, but no layer of its kind before {c.num_own_kv} has any"
        )
    return alike[-1]


def feed_forward(b: Builder, c: Config, layer: int, x: Buffer) -> Buffer:
    """GeGLU of the normed rows."""
    block = f"blk.{layer}"
    h = layers.rms_norm(b, x, f"{block}.ffn_norm", c.sizes.layer_norm_rms_epsilon)
    return layers.gated_feed_forward(b, h, block, c.sizes.feed_forward_length[layer], GluKind.GELU)


def mixture(b: Builder, c: Config, layer: int, x: Buffer) -> Buffer:
    """``norm(geglu(norm(x))) + norm(Σ_j w_j · geglu_j(norm'(x)))``, the router reading x itself."""
    block, eps = f"blk.{layer}", c.sizes.layer_norm_rms_epsilon
    dense = layers.rms_norm(b, feed_forward(b, c, layer, x), f"{block}.post_ffw_norm_1", eps)
    gains = b.weight(f"{block}.ffn_gate_inp.scale", c.sizes.embedding_length)
    routing = b.scale(b.rms_norm(x, None, eps), 1 / math.sqrt(c.sizes.embedding_length), gains)
    router = b.weight(f"{block}.ffn_gate_inp.weight", c.expert_count, c.sizes.embedding_length)
    routed = b.route_top_k(b.linear(routing, router), c.expert_used_count)
    h = layers.rms_norm(b, x, f"{block}.pre_ffw_norm_2", eps)
    inner = c.expert_feed_forward_length
    sparse = layers.experts(b, h, block, routed, c.expert_count, inner, GluKind.GELU)
    return b.add(dense, layers.rms_norm(b, sparse, f"{block}.post_ffw_norm_2", eps))


# ---- inputs of single layers: the E-series ----


def layer_inputs(b: Builder, c: Config, x: Buffer) -> Buffer:
    """Return every layer's input, side by side: looked up by token, plus a projection of the embedding."""
    width, num_layers = c.embedding_length_per_layer_input, c.sizes.block_count
    table = b.weight("per_layer_token_embd.weight", c.sizes.vocab_size, width * num_layers)
    looked_up = b.embed(table, scale=math.sqrt(width))
    projected = layers.linear(b, x, "per_layer_model_proj", width * num_layers)
    projected = b.scale(projected, 1 / math.sqrt(c.sizes.embedding_length))
    eps = c.sizes.layer_norm_rms_epsilon
    projected = layers.rms_norm(b, projected, "per_layer_proj_norm", eps, group=width)
    return b.scale(b.add(projected, looked_up), 1 / math.sqrt(2))


def injection(b: Builder, c: Config, layer: int, x: Buffer, extra: Buffer) -> Buffer:
    """Return what a layer makes of its own input, gated by the residual stream."""
    block, width = f"blk.{layer}", c.embedding_length_per_layer_input
    gate = layers.linear(b, x, f"{block}.inp_gate", width)
    gated = b.glu(gate, b.columns(extra, layer * width, width), GluKind.GELU)
    y = layers.linear(b, gated, f"{block}.proj", c.sizes.embedding_length)
    return layers.rms_norm(b, y, f"{block}.post_norm", c.sizes.layer_norm_rms_epsilon)


# ---- block diffusion ----


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


def build_diffusion(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a diffusion-gemma checkpoint."""
    c, diffusion = read_config(checkpoint), read_diffusion(checkpoint)
    eps = c.sizes.layer_norm_rms_epsilon
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    table = b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length)
    text = b.embed(table, scale=math.sqrt(c.sizes.embedding_length))
    x = b.choose_rows(canvas=canvas_input(b, c, table, text), text=text)
    caches: list[KvCache] = []
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        y = attention(b, c, layer, layers.rms_norm(b, x, f"{block}.attn_norm", eps), caches)
        x = b.add(x, layers.rms_norm(b, y, f"{block}.post_attention_norm", eps))
        if layer == c.sizes.block_count - 1:
            x = b.select_rows(x)  # only the rows whose logits are wanted need the rest
        y = mixture(b, c, layer, x) if c.expert_count else feed_forward(b, c, layer, x)
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
    """Declare both families."""
    return [
        ArchitectureDescriptor(
            name="gemma4",
            summary="Gemma 4, text",
            factory="jackfield_plugins.architectures.gemma4:build",
        ),
        ArchitectureDescriptor(
            name="diffusion-gemma",
            summary="DiffusionGemma: block text diffusion",
            factory="jackfield_plugins.architectures.gemma4:build_diffusion",
            aliases=("diffusion_gemma",),
        ),
    ]
