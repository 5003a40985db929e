"""Qwen3-Next.

Published by Qwen Team 2025; gated delta rule: Yang, Kautz & Hatamizadeh 2024, arXiv:2412.06464.

    x = x + mixer(norm(x))        a gated delta net; in each fourth layer attention with a gate
    x = x + Σ_j w_j · swiglu_j(norm(x)) + σ(gate) · swiglu_shared(norm(x))

Differs from qwen3moe:
- three of four layers have no keys but a recurrent state; value heads that are neighbours share a key head;
- attention multiplies its output by a sigmoid of a gate that ``attn_q`` yields beside each query head, and
  rotates only the first columns of a head;
- a shared expert joins in every layer; the norm before the experts is called ``post_attention_norm``.

Early files hold q, k, v and z interleaved in ``ssm_in``; they are read too. Blocks that predict several tokens
at once are not part of the main model.
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
class Config:
    """What the file says."""

    sizes: Hyperparameters
    rope: RopeTable
    delta_net: DeltaNet
    recurrent_layers: tuple[bool, ...]
    expert_count: int
    expert_used_count: int
    expert_feed_forward_length: int
    expert_shared_feed_forward_length: int


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    sizes = read_hyperparameters(checkpoint)
    data = checkpoint.metadata
    key = data.of_architecture
    rope_width = read_rope_width(checkpoint, sizes.key_length)
    expert_count, expert_used_count = read_expert_counts(checkpoint)
    return Config(
        sizes=sizes,
        rope=read_rope_scaling(checkpoint).table(rope_width, RopeLayout.NEOX),
        delta_net=read_delta_net(checkpoint),
        recurrent_layers=read_recurrent_layers(checkpoint, sizes.block_count),
        expert_count=expert_count,
        expert_used_count=expert_used_count,
        expert_feed_forward_length=read_expert_width(checkpoint),
        expert_shared_feed_forward_length=data.integer(
            key("expert_shared_feed_forward_length"), sizes.feed_forward_length[0], minimum=1
        ),
    )


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a qwen3next checkpoint."""
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
        x = b.add(x, mixture(b, c, block, layers.rms_norm(b, x, f"{block}.post_attention_norm", eps)))
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
    """The gated delta net; β and α of the value heads of a key head lie side by side in ``ssm_ba``."""
    block, net = f"blk.{layer}", c.delta_net
    both = layers.linear(b, h, f"{block}.ssm_ba", 2 * net.num_value_heads)
    shared = net.num_value_heads // net.num_key_heads
    beta = b.split_heads(both, net.num_key_heads, 0, shared)
    alpha = b.split_heads(both, net.num_key_heads, shared, shared)
    project = project_interleaved if b.has(f"{block}.ssm_in.weight") else project_apart
    qkv, z = project(b, h, block, net)
    inputs = DeltaNetInputs(qkv, z, beta, alpha)
    eps = c.sizes.layer_norm_rms_epsilon
    return gated_delta_net(b, block, net, inputs, eps=eps, width=c.sizes.embedding_length, tiled=False)


def project_apart(b: Builder, h: Buffer, block: str, net: DeltaNet) -> tuple[Buffer, Buffer]:
    """Project to q, k, v and to z by matrices of their own."""
    qkv = layers.linear(b, h, f"{block}.attn_qkv", net.conv_width)
    return qkv, layers.linear(b, h, f"{block}.attn_gate", net.num_value_heads * net.value_width)


def project_interleaved(b: Builder, h: Buffer, block: str, net: DeltaNet) -> tuple[Buffer, Buffer]:
    """Project by one matrix that yields q, k, v and z for each key head in turn."""
    heads, k, v = net.num_key_heads, net.key_width, net.num_value_heads // net.num_key_heads * net.value_width
    everything = layers.linear(b, h, f"{block}.ssm_in", heads * (2 * k + 2 * v))
    starts = {"q": (0, k), "k": (k, k), "v": (2 * k, v), "z": (2 * k + v, v)}
    parts = {name: b.split_heads(everything, heads, *place) for name, place in starts.items()}
    return b.concat(b.concat(parts["q"], parts["k"]), parts["v"]), parts["z"]


def mixture(b: Builder, c: Config, block: str, h: Buffer) -> Buffer:
    """The best experts of each row, plus the shared one."""
    logits = layers.linear(b, h, f"{block}.ffn_gate_inp", c.expert_count)
    routed = b.route_top_k(logits, c.expert_used_count)
    y = layers.experts(b, h, block, routed, c.expert_count, c.expert_feed_forward_length)
    return b.add(y, layers.shared_expert(b, h, block, c.expert_shared_feed_forward_length))


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family."""
    return [
        ArchitectureDescriptor(
            name="qwen3next",
            summary="Qwen3-Next",
            factory="jackfield_plugins.architectures.qwen3next:build",
        )
    ]
