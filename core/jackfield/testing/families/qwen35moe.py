"""A qwen35moe: as qwen35 with experts beside a shared one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import (
    Dimensions,
    Family,
    HyperParameter,
    TinyTensor,
    experts,
    feed_forward,
    vector,
)
from jackfield.testing.families.qwen35 import hybrid_keys, hybrid_tensors, rates, sections

__all__ = ["FAMILY", "mixture", "mixture_keys"]


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {**hybrid_keys(d), "rope.dimension_sections": sections(d), **mixture_keys(d)}


def mixture_keys(d: Dimensions) -> dict[str, HyperParameter]:
    """Return the keys of experts beside a shared one."""
    return {
        "expert_count": d.num_experts,
        "expert_used_count": d.num_experts_used,
        "expert_feed_forward_length": d.ff_width,
        "expert_shared_feed_forward_length": d.ff_width,
    }


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    return hybrid_tensors(d, rates, mixture)


def mixture(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    """Yield a router, gated experts and the shared one."""
    yield from experts(d, prefix)
    yield vector(f"{prefix}.ffn_gate_inp_shexp.weight", d.width)
    yield from feed_forward(prefix, d.width, d.ff_width, "_shexp")


FAMILY = Family("qwen35moe", _hyper_parameters, _tensors)
