"""gpt-oss 20B and 120B.

Paper: OpenAI 2025, arXiv:2508.10925.

    x = x + Wo · attention(rope(q), rope(k), v; sinks)        q, k, v = projections of norm(x), with biases
    x = x + Σ_j w_j · unit_j(norm(x))                         over the best experts j of the row

Differs from llama:
- every head has a sink: a learned score that takes its share of the softmax and brings no value;
- every other layer, the first included, sees a sliding window only;
- positions rotate halves of a head and are stretched by YaRN, whose bounds are always 32 and 1 turns;
- experts are weighed by a softmax over those chosen; their gate and up are clamped, and have biases;
- the norm before the experts is called ``post_attention_norm``.

Files made by Ollama say ``gptoss`` and name some tensors otherwise. Their first layout, with gate and up rows
interleaved and an element order of its own in MXFP4 blocks, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jackfield.descriptors import ArchitectureDescriptor
from jackfield.errors import CheckpointError
from jackfield.hooks import hookimpl
from jackfield.program import (
    Buffer,
    Builder,
    GluKind,
    Hyperparameters,
    Program,
    RopeLayout,
    RopeTable,
    RouterScore,
    layers,
    read_expert_counts,
    read_expert_width,
    read_hyperparameters,
    read_rope_scaling,
    read_rope_width,
    read_windows,
)

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["build", "jackfield_architectures"]


@dataclass(frozen=True)
class Config:
    """What the file says; ``windows`` has for each layer how many positions it sees, ``None`` for all."""

    sizes: Hyperparameters
    rope: RopeTable
    windows: tuple[int | None, ...]
    expert_count: int
    expert_used_count: int
    expert_feed_forward_length: int


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    sizes = read_hyperparameters(checkpoint)
    expert_count, expert_used_count = read_expert_counts(checkpoint)
    rope_width = read_rope_width(checkpoint, sizes.key_length)
    return Config(
        sizes=sizes,
        rope=read_rope_scaling(checkpoint, default="yarn").table(rope_width, RopeLayout.NEOX),
        windows=read_windows(checkpoint, period=2),
        expert_count=expert_count,
        expert_used_count=expert_used_count,
        expert_feed_forward_length=read_expert_width(checkpoint),
    )


def check_layout(checkpoint: Checkpoint) -> None:
    """Refuse files whose expert blocks would be read wrongly."""
    interleaved = "blk.0.ffn_gate_up_exps.weight"
    if checkpoint.architecture == "gptoss" and interleaved in checkpoint.tensors:
        raise CheckpointError(
            f"gptoss: tensor {interleaved!r} has gate and up interleaved, an early layout of Ollama;"
            f" expected 'blk.0.ffn_gate_exps.weight': convert the model again"
        )


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a gpt-oss checkpoint."""
    check_layout(checkpoint)
    c = read_config(checkpoint)
    eps = c.sizes.layer_norm_rms_epsilon
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    x = b.embed(b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length))
    for layer in range(c.sizes.block_count):
        block = f"blk.{layer}"
        x = b.add(x, attention(b, c, layer, layers.rms_norm(b, x, f"{block}.attn_norm", eps)))
        if layer == c.sizes.block_count - 1:
            x = b.select_rows(x)  # only the rows whose logits are wanted need the rest
        gains = b.present(f"{block}.post_attention_norm.weight", f"{block}.ffn_norm.weight")
        h = layers.rms_norm(b, x, gains.removesuffix(".weight"), eps)
        x = b.add(x, mixture(b, c, block, h))
    hidden, logits = layers.output_head(b, x, c.sizes)
    return b.finish(hidden, logits, c.sizes.context_length)


def attention(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """Grouped-query attention with sinks, in a window on every other layer."""
    block, window = f"blk.{layer}", c.windows[layer]
    heads, kv_heads = c.sizes.head_count[layer], c.sizes.head_count_kv[layer]
    width, v_width = c.sizes.key_length, c.sizes.value_length
    q, k, v = layers.project_qkv(b, h, block, heads * width, kv_heads * width, kv_heads * v_width)
    cache = b.kv_cache(kv_heads, width, v_width, window)
    b.kv_append(b.rope(k, width, c.rope), v, cache)
    sinks = b.weight(b.present(f"{block}.attn_sinks.weight", f"{block}.attn_sinks"), heads)
    q = b.rope(q, width, c.rope)
    out = b.attend(q, cache, heads, scale=width**-0.5, window=window, sinks=sinks)
    output = b.present(f"{block}.attn_output.weight", f"{block}.attn_out.weight")
    return layers.linear(b, out, output.removesuffix(".weight"), c.sizes.embedding_length)


def mixture(b: Builder, c: Config, block: str, h: Buffer) -> Buffer:
    """Route each row to its best experts and sum what they say."""
    logits = layers.linear(b, h, f"{block}.ffn_gate_inp", c.expert_count)
    routed = b.route_top_k(logits, c.expert_used_count, score=RouterScore.SOFTMAX_SELECTED, normalize=False)
    inner = c.expert_feed_forward_length
    return layers.experts(b, h, block, routed, c.expert_count, inner, GluKind.OAI)


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family."""
    return [
        ArchitectureDescriptor(
            name="gpt-oss",
            summary="gpt-oss 20B and 120B",
            factory="jackfield_plugins.architectures.gpt_oss:build",
            aliases=("gptoss",),
        )
    ]
