"""A gemma3: of six layers five see a window and rotate by a base of their own; norms on q and k heads."""

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
        "attention.sliding_window": d.size("window", 16),
        "rope.freq_base": 1_000_000.0,
        "rope.freq_base_swa": 10_000.0,
        "rope.scaling.type": "linear",
        "rope.scaling.factor": 8.0,
    }


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield linear("token_embd.weight", d.vocab_size, d.width)
    for layer in range(d.num_layers):
        prefix = f"blk.{layer}"
        yield norm(f"{prefix}.attn_norm.weight", d.width)
        yield from attention(d, prefix)
        yield norm(f"{prefix}.attn_q_norm.weight", d.head_width)
        yield norm(f"{prefix}.attn_k_norm.weight", d.head_width)
        yield norm(f"{prefix}.post_attention_norm.weight", d.width)
        yield norm(f"{prefix}.ffn_norm.weight", d.width)
        yield from feed_forward(prefix, d.width, d.ff_width)
        yield norm(f"{prefix}.post_ffw_norm.weight", d.width)
    yield norm("output_norm.weight", d.width)


FAMILY = Family("gemma3", _hyper_parameters, _tensors)
