"""A qwen3next: a gated delta net, then gated attention, in turn; experts beside a shared one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import (
    Dimensions,
    Family,
    HyperParameter,
    TinyTensor,
    common_keys,
    experts,
    feed_forward,
    linear,
    norm,
    vector,
)

__all__ = ["FAMILY"]


CONV_KERNEL = 4


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        **common_keys(d),
        "rope.dimension_count": d.head_width // 4,
        "rope.freq_base": 10_000_000.0,
        "ssm.conv_kernel": CONV_KERNEL,
        "ssm.state_size": _state_width(d),
        "ssm.group_count": _num_key_heads(d),
        "ssm.time_step_rank": _num_value_heads(d),
        "ssm.inner_size": _value_width(d),
        "full_attention_interval": _interval(d),
        "expert_count": d.num_experts,
        "expert_used_count": d.num_experts_used,
        "expert_feed_forward_length": d.ff_width,
        "expert_shared_feed_forward_length": d.ff_width,
    }


def _num_key_heads(d: Dimensions) -> int:
    return d.size("num_key_heads", 2)


def _num_value_heads(d: Dimensions) -> int:
    return d.size("num_value_heads", 4)


def _state_width(d: Dimensions) -> int:
    return d.size("state_width", d.head_width)


def _value_width(d: Dimensions) -> int:
    return _num_value_heads(d) * _state_width(d)


def _interval(d: Dimensions) -> int:
    return d.size("full_attention_interval", 2)


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield TinyTensor("token_embd.weight", (d.vocab_size, d.width), 1.0, is_quantisable=True)
    for layer in range(d.num_layers):
        prefix = f"blk.{layer}"
        yield norm(f"{prefix}.attn_norm.weight", d.width)
        yield from _delta_net(d, prefix) if (layer + 1) % _interval(d) else _attention(d, prefix)
        yield norm(f"{prefix}.post_attention_norm.weight", d.width)
        yield from _mixture(d, prefix)
    yield norm("output_norm.weight", d.width)
    yield linear("output.weight", d.vocab_size, d.width, gain=3.0)


def _attention(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield linear(f"{prefix}.attn_q.weight", 2 * d.query_width, d.width)
    yield linear(f"{prefix}.attn_k.weight", d.kv_width, d.width)
    yield linear(f"{prefix}.attn_v.weight", d.kv_width, d.width)
    yield norm(f"{prefix}.attn_q_norm.weight", d.head_width)
    yield norm(f"{prefix}.attn_k_norm.weight", d.head_width)
    yield linear(f"{prefix}.attn_output.weight", d.width, d.query_width)


def _delta_net(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    num_heads = _num_value_heads(d)
    conv_width = 2 * _num_key_heads(d) * _state_width(d) + _value_width(d)
    yield linear(f"{prefix}.attn_qkv.weight", conv_width, d.width)
    yield linear(f"{prefix}.attn_gate.weight", _value_width(d), d.width)
    yield linear(f"{prefix}.ssm_ba.weight", 2 * num_heads, d.width)
    yield vector(f"{prefix}.ssm_conv1d.weight", conv_width, CONV_KERNEL, spread=0.5)
    yield vector(f"{prefix}.ssm_dt.bias", num_heads)
    yield vector(f"{prefix}.ssm_a", num_heads, spread=0.1, centre=-0.5)
    yield norm(f"{prefix}.ssm_norm.weight", _state_width(d))
    yield linear(f"{prefix}.ssm_out.weight", d.width, _value_width(d))


def _mixture(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield from experts(d, prefix)
    yield vector(f"{prefix}.ffn_gate_inp_shexp.weight", d.width)
    yield from feed_forward(prefix, d.width, d.ff_width, "_shexp")


FAMILY = Family("qwen3next", _hyper_parameters, _tensors)
