"""A llama: grouped-query attention with interleaved rotary pairs, SwiGLU, an output matrix of its own."""

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
    return {**common_keys(d), "vocab_size": d.vocab_size}


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield TinyTensor("token_embd.weight", (d.vocab_size, d.width), 1.0, is_quantisable=True)
    for layer in range(d.num_layers):
        yield from _block(d, f"blk.{layer}")
    yield norm("output_norm.weight", d.width)
    yield linear("output.weight", d.vocab_size, d.width, gain=3.0)


def _block(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield norm(f"{prefix}.attn_norm.weight", d.width)
    yield from attention(d, prefix)
    yield norm(f"{prefix}.ffn_norm.weight", d.width)
    yield from feed_forward(prefix, d.width, d.ff_width)


FAMILY = Family("llama", _hyper_parameters, _tensors)
