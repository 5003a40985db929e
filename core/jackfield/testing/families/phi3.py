"""A phi3: q, k and v in one matrix, gate and up in one, divisors for short and for long contexts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import (
    Dimensions,
    Family,
    HyperParameter,
    TinyTensor,
    common_keys,
    linear,
    norm,
    vector,
)

__all__ = ["FAMILY"]


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        **common_keys(d),
        "rope.dimension_count": d.head_width // 2,
        "rope.scaling.original_context_length": 256,
        "rope.scaling.attn_factor": 1.1,
    }


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield vector("rope_factors_long.weight", d.head_width // 4, centre=4.0)
    yield vector("rope_factors_short.weight", d.head_width // 4, spread=0.1, centre=1.2)
    yield linear("token_embd.weight", d.vocab_size, d.width, gain=3.0)
    for layer in range(d.num_layers):
        prefix = f"blk.{layer}"
        yield norm(f"{prefix}.attn_norm.weight", d.width)
        yield linear(f"{prefix}.attn_qkv.weight", d.query_width + 2 * d.kv_width, d.width)
        yield linear(f"{prefix}.attn_output.weight", d.width, d.query_width)
        yield norm(f"{prefix}.ffn_norm.weight", d.width)
        yield linear(f"{prefix}.ffn_up.weight", 2 * d.ff_width, d.width)
        yield linear(f"{prefix}.ffn_down.weight", d.width, d.ff_width)
    yield norm("output_norm.weight", d.width)
    yield linear("output.weight", d.vocab_size, d.width, gain=3.0)


FAMILY = Family("phi3", _hyper_parameters, _tensors)
