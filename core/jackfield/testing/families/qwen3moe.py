"""A qwen3moe: attention as qwen3, the feed-forward layer a choice among experts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from jackfield.testing.families import Dimensions, Family, HyperParameter, TinyTensor, linear, norm

__all__ = ["FAMILY"]


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        "block_count": d.num_layers,
        "context_length": d.context_length,
        "embedding_length": d.width,
        "feed_forward_length": 2 * d.ff_width,
        "attention.head_count": d.num_heads,
        "attention.head_count_kv": d.num_kv_heads,
        "attention.key_length": d.head_width,
        "attention.value_length": d.head_width,
        "attention.layer_norm_rms_epsilon": d.epsilon,
        "rope.freq_base": d.freq_base,
        "expert_count": d.num_experts,
        "expert_used_count": d.num_experts_used,
        "expert_feed_forward_length": d.ff_width,
    }


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield TinyTensor("token_embd.weight", (d.vocab_size, d.width), 1.0, is_quantisable=True)
    for layer in range(d.num_layers):
        yield from _attention(d, f"blk.{layer}")
        yield from _experts(d, f"blk.{layer}")
    yield norm("output_norm.weight", d.width)
    yield linear("output.weight", d.vocab_size, d.width, gain=3.0)


def _attention(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield norm(f"{prefix}.attn_norm.weight", d.width)
    yield linear(f"{prefix}.attn_q.weight", d.query_width, d.width)
    yield linear(f"{prefix}.attn_k.weight", d.kv_width, d.width)
    yield linear(f"{prefix}.attn_v.weight", d.kv_width, d.width)
    yield norm(f"{prefix}.attn_q_norm.weight", d.head_width)
    yield norm(f"{prefix}.attn_k_norm.weight", d.head_width)
    yield linear(f"{prefix}.attn_output.weight", d.width, d.query_width)


def _experts(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield norm(f"{prefix}.ffn_norm.weight", d.width)
    yield TinyTensor(f"{prefix}.ffn_gate_inp.weight", (d.num_experts, d.width), 2 / d.width**0.5)
    yield linear(f"{prefix}.ffn_gate_exps.weight", d.ff_width, d.width, stack=d.num_experts)
    yield linear(f"{prefix}.ffn_up_exps.weight", d.ff_width, d.width, stack=d.num_experts)
    yield linear(f"{prefix}.ffn_down_exps.weight", d.width, d.ff_width, stack=d.num_experts)


def _adapt(d: Dimensions) -> Dimensions:
    return dataclasses.replace(d, head_width=2 * d.head_width)


FAMILY = Family("qwen3moe", _hyper_parameters, _tensors, _adapt)
