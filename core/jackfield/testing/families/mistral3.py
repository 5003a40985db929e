"""A mistral3: as llama, positions stretched by YaRN, queries that grow with their position; tied output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import (
    Dimensions,
    Family,
    HyperParameter,
    TinyTensor,
    attention,
    common_keys,
    feed_forward,
    linear,
    norm,
)

__all__ = ["FAMILY"]


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        **common_keys(d),
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 16.0,
        "rope.scaling.original_context_length": 16,
        "rope.scaling.yarn_beta_fast": 4.0,
        "rope.scaling.yarn_beta_slow": 1.0,
        "rope.scaling.yarn_log_multiplier": 1.0,
        "attention.temperature_scale": 0.2,
    }


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield linear("token_embd.weight", d.vocab_size, d.width, gain=3.0)
    for layer in range(d.num_layers):
        prefix = f"blk.{layer}"
        yield norm(f"{prefix}.attn_norm.weight", d.width)
        yield from attention(d, prefix)
        yield norm(f"{prefix}.ffn_norm.weight", d.width)
        yield from feed_forward(prefix, d.width, d.ff_width)
    yield norm("output_norm.weight", d.width)


FAMILY = Family("mistral3", _hyper_parameters, _tensors)
