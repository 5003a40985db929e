"""A nemotron_h_moe: as nemotron_h with experts on a narrower projection, beside a shared one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import Dimensions, Family, HyperParameter, TinyTensor, linear, vector
from jackfield.testing.families.nemotron_h import hybrid_keys, hybrid_tensors

__all__ = ["FAMILY"]


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        **hybrid_keys(d),
        "expert_count": d.num_experts,
        "expert_used_count": d.num_experts_used,
        "expert_feed_forward_length": d.ff_width,
        "expert_shared_feed_forward_length": d.ff_width,
        "expert_weights_norm": True,
        "expert_weights_scale": 2.5,
        "moe_latent_size": _latent_size(d),
    }


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    return hybrid_tensors(d, _experts)


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
