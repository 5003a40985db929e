"""A nemotron_h: Mamba-2, feed-forward and attention layers in turn; no positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jackfield.testing.families import (
    Dimensions,
    Family,
    HyperParameter,
    TinyTensor,
    attention,
    common_keys,
    linear,
    norm,
    vector,
)

__all__ = ["FAMILY", "hybrid_keys", "hybrid_tensors"]

CONV_KERNEL = 4


def hybrid_keys(d: Dimensions) -> dict[str, HyperParameter]:
    """Return the keys of models in which Mamba-2, feed-forward and attention layers take turns."""
    keys = common_keys(d)
    del keys["attention.layer_norm_rms_epsilon"]
    return {
        **keys,
        "attention.layer_norm_epsilon": d.epsilon,
        "attention.head_count_kv": [d.num_kv_heads if kind == "attention" else 0 for kind in _kinds(d)],
        "feed_forward_length": [d.ff_width if kind == "feed_forward" else 0 for kind in _kinds(d)],
        "ssm.conv_kernel": CONV_KERNEL,
        "ssm.inner_size": _inner_width(d),
        "ssm.state_size": _state_size(d),
        "ssm.group_count": _num_groups(d),
        "ssm.time_step_rank": _num_state_heads(d),
    }


def _kinds(d: Dimensions) -> list[str]:
    return [("mamba", "feed_forward", "attention")[layer % 3] for layer in range(d.num_layers)]


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    return hybrid_tensors(d, _feed_forward)


def hybrid_tensors(
    d: Dimensions, feed_forward: Callable[[Dimensions, str], Iterator[TinyTensor]]
) -> Iterator[TinyTensor]:
    """Yield every tensor, with the given feed-forward."""
    kinds = {"mamba": _mamba, "feed_forward": feed_forward, "attention": attention}
    yield linear("token_embd.weight", d.vocab_size, d.width, gain=3.0)
    for layer, kind in enumerate(_kinds(d)):
        yield norm(f"blk.{layer}.attn_norm.weight", d.width)
        yield from kinds[kind](d, f"blk.{layer}")
    yield norm("output_norm.weight", d.width)
    yield linear("output.weight", d.vocab_size, d.width, gain=3.0)


def _mamba(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    heads, groups, inner = _num_state_heads(d), _num_groups(d), _inner_width(d)
    conv_width = inner + 2 * groups * _state_size(d)
    yield linear(f"{prefix}.ssm_in.weight", inner + conv_width + heads, d.width)
    yield vector(f"{prefix}.ssm_conv1d.weight", conv_width, CONV_KERNEL, spread=0.5)
    yield vector(f"{prefix}.ssm_conv1d.bias", conv_width)
    yield vector(f"{prefix}.ssm_dt.bias", heads)
    yield vector(f"{prefix}.ssm_a", heads, 1, spread=0.1, centre=-0.5)
    yield vector(f"{prefix}.ssm_d", heads, 1)
    yield TinyTensor(f"{prefix}.ssm_norm.weight", (groups, inner // groups), 0.2, centre=1.0)
    yield linear(f"{prefix}.ssm_out.weight", d.width, inner)


def _num_groups(d: Dimensions) -> int:
    return d.size("num_groups", 2)


def _num_state_heads(d: Dimensions) -> int:
    return d.size("num_state_heads", 4)


def _state_size(d: Dimensions) -> int:
    return d.size("state_size", 16)


def _inner_width(d: Dimensions) -> int:
    return d.size("inner_width", d.width)


def _feed_forward(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield linear(f"{prefix}.ffn_up.weight", d.ff_width, d.width)
    yield linear(f"{prefix}.ffn_down.weight", d.width, d.ff_width)


FAMILY = Family("nemotron_h", hybrid_keys, _tensors)
