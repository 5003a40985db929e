"""A gpt-oss: sinks, biases everywhere, every other layer sees a window, clamped experts, YaRN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import (
    Dimensions,
    Family,
    HyperParameter,
    TinyTensor,
    attention,
    common_keys,
    experts,
    linear,
    norm,
    vector,
)

__all__ = ["FAMILY"]


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        **common_keys(d),
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 32.0,
        "rope.scaling.original_context_length": d.size("original_context", 64),
        "attention.sliding_window": d.size("window", 16),
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
    yield from attention(d, prefix)
    widths = {"q": d.query_width, "k": d.kv_width, "v": d.kv_width, "output": d.width}
    for name, width in widths.items():
        yield vector(f"{prefix}.attn_{name}.bias", width)
    yield vector(f"{prefix}.attn_sinks.weight", d.num_heads, spread=1.0)


def _experts(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield norm(f"{prefix}.post_attention_norm.weight", d.width)
    yield from experts(d, prefix)
    yield vector(f"{prefix}.ffn_gate_inp.bias", d.num_experts)
    yield vector(f"{prefix}.ffn_gate_exps.bias", d.num_experts, d.ff_width)
    yield vector(f"{prefix}.ffn_up_exps.bias", d.num_experts, d.ff_width)
    yield vector(f"{prefix}.ffn_down_exps.bias", d.num_experts, d.width)


FAMILY = Family("gpt-oss", _hyper_parameters, _tensors)
