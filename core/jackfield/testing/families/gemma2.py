"""A gemma2: every other layer sees a window, scores and logits are capped, norms after each sublayer."""

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
        "attention.sliding_window": 16,
        "attn_logit_softcapping": 8.0,
        "final_logit_softcapping": 12.0,
    }


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield linear("token_embd.weight", d.vocab_size, d.width)
    for layer in range(d.num_layers):
        prefix = f"blk.{layer}"
        yield norm(f"{prefix}.attn_norm.weight", d.width)
        yield from attention(d, prefix)
        yield norm(f"{prefix}.post_attention_norm.weight", d.width)
        yield norm(f"{prefix}.ffn_norm.weight", d.width)
        yield from feed_forward(prefix, d.width, d.ff_width)
        yield norm(f"{prefix}.post_ffw_norm.weight", d.width)
    yield norm("output_norm.weight", d.width)


FAMILY = Family("gemma2", _hyper_parameters, _tensors)
