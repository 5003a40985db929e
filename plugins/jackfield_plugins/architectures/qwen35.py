"""Qwen 3.5, dense and mixture of experts, its text part.

Published by Qwen Team 2026; gated delta rule: Yang, Kautz & Hatamizadeh 2024, arXiv:2412.06464.

    x = x + mixer(norm(x))        a gated delta net; in each fourth layer attention with a gate
    x = x + feed_forward(norm(x)) SwiGLU, or experts and a shared one

Differs from qwen3next:
- β and α have matrices of their own; value head h belongs to key head ``h % num_key_heads``: conversion has
  put them in that order;
- the dense models have a plain feed-forward;
- positions come in three streams for images; in text the streams are equal, so rotation is the plain one and
  ``rope.dimension_sections`` is not needed.

Blocks that predict several tokens at once are not part of the main model.
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
    GluKind,
    Hyperparameters,
    Program,
    RopeLayout,
    RopeTable,
    has_experts,
    layers,
    read_expert_counts,
    read_expert_width,
    read_hyperparameters,
    read_rope_scaling,
    read_rope_width,
)
from jackfield.program.delta_net import (
    DeltaNet,
    DeltaNetInputs,
    gated_delta_net,
    read_delta_net,
    read_recurrent_layers,
)

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["build", "jackfield_architectures"]


@dataclass(frozen=True)
class Experts:
    """What the file says about experts."""

    expert_count: int
    expert_used_count: int
    expert_feed_forward_length: int
    expert_shared_feed_forward_length: int


@dataclass(frozen=True)
class Config:
    """What the file says; ``experts`` is ``None`` for the dense models."""

    sizes: Hyperparameters
    rope: RopeTable
    delta_net: DeltaNet
    recurrent_layers: tuple[bool, ...]
    experts: Experts | None


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    sizes = read_hyperparameters(checkpoint)
    rope_width = read_rope_width(checkpoint, sizes.key_length)
    return Config(
        sizes=sizes,
        rope=read_rope_scaling(checkpoint).table(rope_width, RopeLayout.NEOX),
        delta_net=read_delta_net(checkpoint),
        recurrent_layers=read_recurrent_layers(checkpoint, sizes.block_count),
        experts=read_experts(checkpoint) if has_experts(checkpoint) else None,
    )


def read_experts(checkpoint: Checkpoint) -> Experts:
    """Read what the file says about experts."""
    data = checkpoint.metadata
    key = data.of_architecture
    return Experts(
        *read_expert_counts(checkpoint),
        expert_feed_forward_length=read_expert_width(checkpoint),
        expert_shared_feed_forward_length=data.integer(key("expert_shared_feed_forward_length"), minimum=1),
    )


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a qwen35 checkpoint."""
    c = read_config(checkpoint)
    eps = c.sizes.layer_norm_rms_epsilon
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    x = b.embed(b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length))
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        mixer = recurrence if c.recurrent_layers[layer] else attention
        x = b.add(x, mixer(b, c, layer, layers.rms_norm(b, x, f"{block}.attn_norm", eps)))
        if layer == c.sizes.block_count - 1:
            x = b.select_rows(x)  # only the rows whose logits are wanted need the rest
        x = b.add(x, feed_forward(b, c, layer, layers.rms_norm(b, x, f"{block}.post_attention_norm", eps)))
    hidden, logits = layers.output_head(b, x, c.sizes)
    return b.finish(hidden, logits, c.sizes.context_length)


def attention(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """Grouped-query attention whose output is gated; each head of ``attn_q`` is a query, then its gate."""
    block, eps = f"blk.{layer}", c.sizes.layer_norm_rms_epsilon
    heads, kv_heads = c.sizes.head_count[layer], c.sizes.head_count_kv[layer]
    width = c.sizes.key_length
    q_and_gate, k, v = layers.project_qkv(
        b, h, block, 2 * heads * width, kv_heads * width, kv_heads * c.sizes.value_length
    )
    q = b.split_heads(q_and_gate, heads, 0, width)
    q = b.rope(layers.rms_norm(b, q, f"{block}.attn_q_norm", eps, group=width), width, c.rope)
    k = b.rope(layers.rms_norm(b, k, f"{block}.attn_k_norm", eps, group=width), width, c.rope)
    cache = b.kv_cache(kv_heads, width, c.sizes.value_length)
    b.kv_append(k, v, cache)
    gate = b.split_heads(q_and_gate, heads, width, width)
    out = b.glu(gate, b.attend(q, cache, heads, scale=width**-0.5), GluKind.SIGMOID)
    return layers.linear(b, out, f"{block}.attn_output", c.sizes.embedding_length)


def recurrence(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """The gated delta net, value heads in tiled order."""
    block, net = f"blk.{layer}", c.delta_net
    inputs = DeltaNetInputs(
        qkv=layers.linear(b, h, f"{block}.attn_qkv", net.conv_width),
        z=layers.linear(b, h, f"{block}.attn_gate", net.num_value_heads * net.value_width),
        beta=layers.linear(b, h, f"{block}.ssm_beta", net.num_value_heads),
        alpha=layers.linear(b, h, f"{block}.ssm_alpha", net.num_value_heads),
    )
    eps = c.sizes.layer_norm_rms_epsilon
    return gated_delta_net(b, block, net, inputs, eps=eps, width=c.sizes.embedding_length, tiled=True)


def feed_forward(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """SwiGLU, or the best experts of each row plus the shared one."""
    block = f"blk.{layer}"
    if c.experts is None:
        return layers.gated_feed_forward(b, h, block, c.sizes.feed_forward_length[layer])
    count, inner = c.experts.expert_count, c.experts.expert_feed_forward_length
    logits = layers.linear(b, h, f"{block}.ffn_gate_inp", count)
    routed = b.route_top_k(logits, c.experts.expert_used_count)
    y = layers.experts(b, h, block, routed, count, inner)
    return b.add(y, layers.shared_expert(b, h, block, c.experts.expert_shared_feed_forward_length))


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family, dense and with experts."""
    factory = "jackfield_plugins.architectures.qwen35:build"
    return [
        ArchitectureDescriptor(name="qwen35", summary="Qwen 3.5, dense", factory=factory),
        ArchitectureDescriptor(name="qwen35moe", summary="Qwen 3.5, mixture of experts", factory=factory),
    ]
