"""A nemotron_h_moe: as nemotron_h with experts on a narrower projection, beside a shared one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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

__all__ = ["FAMILY"]


CONV_KERNEL = 4


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    keys = common_keys(d)
    del keys["attention.layer_norm_rms_epsilon"]
    return {
        **keys,
        "attention.layer_norm_epsilon": d.epsilon,
        "attention.head_count_kv": [d.num_kv_heads if kind == "attention" else 0 for kind in _kinds(d)],
        "feed_forward_length": [d.ff_width if kind == "experts" else 0 for kind in _kinds(d)],
        "ssm.conv_kernel": CONV_KERNEL,
        "ssm.inner_size": _inner_width(d),
        "ssm.state_size": _state_size(d),
        "ssm.group_count": _num_groups(d),
        "ssm.time_step_rank": _num_state_heads(d),
        "expert_count": d.num_experts,
        "expert_used_count": d.num_experts_used,
        "expert_feed_forward_length": d.ff_width,
        "expert_shared_feed_forward_length": d.ff_width,
        "expert_weights_norm": True,
        "expert_weights_scale": 2.5,
        "moe_latent_size": _latent_size(d),
    }


def _kinds(d: Dimensions) -> list[str]:
    return [("mamba", "experts", "attention")[layer % 3] for layer in range(d.num_layers)]


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    kinds = {"mamba": _mamba, "experts": _experts, "attention": attention}
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


def _latent_size(d: Dimensions) -> int:
    return max(32, d.block_elements)


def _experts(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    latent = _latent_size(d)
    yield vector(f"{prefix}.ffn_gate_inp.weight", d.num_experts, d.width)
    yield vector(f"{prefix}.exp_probs_b.bias", d.num_experts)
    yield linear(f"{prefix}.ffn_latent_down.weight", latent, d.width)
    yield linear(f"{prefix}.ffn_up_exps.weight", d.ff_width, latent, stack=d.num_experts)
    yield linear(f"{prefix}.ffn_down_exps.weight", latent, d.ff_width, stack=d.num_experts)
    yield linear(f"{prefix}.ffn_latent_up.weight", d.width, latent)
    yield linear(f"{prefix}.ffn_up_shexp.weight", d.ff_width, d.width)
    yield linear(f"{prefix}.ffn_down_shexp.weight", d.width, d.ff_width)


FAMILY = Family("nemotron_h_moe", _hyper_parameters, _tensors)
