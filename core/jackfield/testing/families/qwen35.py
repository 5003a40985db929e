"""A qwen35: a gated delta net, then gated attention, in turn; a draft block that is not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from jackfield.testing.families import (
    Dimensions,
    Family,
    HyperParameter,
    TinyTensor,
    common_keys,
    feed_forward,
    linear,
    norm,
    vector,
)

__all__ = ["FAMILY", "Part", "hybrid_keys", "hybrid_tensors", "num_value_heads", "rates", "sections"]

CONV_KERNEL = 4
Part = Callable[[Dimensions, str], Iterator[TinyTensor]]
"""Yields the tensors of a part of the block with that prefix."""


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        **hybrid_keys(d),
        "rope.dimension_sections": sections(d),
        "block_count": d.num_layers + d.size("draft_layers", 1),
        "nextn_predict_layers": d.size("draft_layers", 1),
    }


def hybrid_keys(d: Dimensions) -> dict[str, HyperParameter]:
    """Return the keys of models in which gated delta nets and gated attention take turns."""
    return {
        **common_keys(d),
        "rope.dimension_count": d.head_width // 4,
        "rope.freq_base": 10_000_000.0,
        "ssm.conv_kernel": CONV_KERNEL,
        "ssm.state_size": _state_width(d),
        "ssm.group_count": _num_key_heads(d),
        "ssm.time_step_rank": num_value_heads(d),
        "ssm.inner_size": _value_width(d),
        "full_attention_interval": _interval(d),
    }


def sections(d: Dimensions) -> list[int]:
    """Return how many pairs rotate by time, height and width; in text it is all the same."""
    num_pairs = d.head_width // 8
    return [(num_pairs + 2) // 3, (num_pairs + 1) // 3, num_pairs // 3, 0]


def _num_key_heads(d: Dimensions) -> int:
    return d.size("num_key_heads", 2)


def num_value_heads(d: Dimensions) -> int:
    """Return how many heads the state has."""
    return d.size("num_value_heads", 4)


def _state_width(d: Dimensions) -> int:
    return d.size("state_width", d.head_width)


def _value_width(d: Dimensions) -> int:
    return num_value_heads(d) * _state_width(d)


def _interval(d: Dimensions) -> int:
    return d.size("full_attention_interval", 2)


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    return hybrid_tensors(d, rates, _feed_forward)


def _feed_forward(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    return feed_forward(prefix, d.width, d.ff_width)


def hybrid_tensors(d: Dimensions, rates: Part, feed_forward: Part) -> Iterator[TinyTensor]:
    """Yield every tensor, with the given matrices of β and α and the given feed-forward."""
    yield TinyTensor("token_embd.weight", (d.vocab_size, d.width), 1.0, is_quantisable=True)
    for layer in range(d.num_layers):
        prefix = f"blk.{layer}"
        yield norm(f"{prefix}.attn_norm.weight", d.width)
        yield from _delta_net(d, prefix, rates) if (layer + 1) % _interval(d) else _attention(d, prefix)
        yield norm(f"{prefix}.post_attention_norm.weight", d.width)
        yield from feed_forward(d, prefix)
    yield norm("output_norm.weight", d.width)
    yield linear("output.weight", d.vocab_size, d.width, gain=3.0)


def _attention(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield linear(f"{prefix}.attn_q.weight", 2 * d.query_width, d.width)
    yield linear(f"{prefix}.attn_k.weight", d.kv_width, d.width)
    yield linear(f"{prefix}.attn_v.weight", d.kv_width, d.width)
    yield norm(f"{prefix}.attn_q_norm.weight", d.head_width)
    yield norm(f"{prefix}.attn_k_norm.weight", d.head_width)
    yield linear(f"{prefix}.attn_output.weight", d.width, d.query_width)


def _delta_net(d: Dimensions, prefix: str, rates: Part) -> Iterator[TinyTensor]:
    num_heads = num_value_heads(d)
    conv_width = 2 * _num_key_heads(d) * _state_width(d) + _value_width(d)
    yield linear(f"{prefix}.attn_qkv.weight", conv_width, d.width)
    yield linear(f"{prefix}.attn_gate.weight", _value_width(d), d.width)
    yield from rates(d, prefix)
    yield vector(f"{prefix}.ssm_conv1d.weight", conv_width, CONV_KERNEL, spread=0.5)
    yield vector(f"{prefix}.ssm_dt.bias", num_heads)
    yield vector(f"{prefix}.ssm_a", num_heads, spread=0.1, centre=-0.5)
    yield norm(f"{prefix}.ssm_norm.weight", _state_width(d))
    yield linear(f"{prefix}.ssm_out.weight", d.width, _value_width(d))


def rates(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    """Yield the matrices of β and α."""
    yield linear(f"{prefix}.ssm_beta.weight", num_value_heads(d), d.width)
    yield linear(f"{prefix}.ssm_alpha.weight", num_value_heads(d), d.width)


FAMILY = Family("qwen35", _hyper_parameters, _tensors)
