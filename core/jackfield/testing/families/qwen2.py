"""A qwen2: as llama with split rotary halves and biases on q, k and v; the embedding is the output matrix.

Feed-forward layers add much to the stream: with one matrix for input and output a model of random
weights would only repeat its last token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import (
    Dimensions,
    Family,
    HyperParameter,
    TinyTensor,
    feed_forward,
    linear,
    norm,
)

__all__ = ["FAMILY"]


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        "block_count": d.num_layers,
        "context_length": d.context_length,
        "embedding_length": d.width,
        "feed_forward_length": d.ff_width,
        "attention.head_count": d.num_heads,
        "attention.head_count_kv": d.num_kv_heads,
        "attention.layer_norm_rms_epsilon": d.epsilon,
        "rope.freq_base": d.freq_base,
    }


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield linear("token_embd.weight", d.vocab_size, d.width, gain=3.0)
    for layer in range(d.num_layers):
        yield from _block(d, f"blk.{layer}")
    yield norm("output_norm.weight", d.width)


def _block(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield norm(f"{prefix}.attn_norm.weight", d.width)
    for name, width in (("q", d.query_width), ("k", d.kv_width), ("v", d.kv_width)):
        yield linear(f"{prefix}.attn_{name}.weight", width, d.width)
        yield TinyTensor(f"{prefix}.attn_{name}.bias", (width,), 0.3)
    yield linear(f"{prefix}.attn_output.weight", d.width, d.query_width)
    yield norm(f"{prefix}.ffn_norm.weight", d.width)
    yield from feed_forward(prefix, d.width, d.ff_width, gain=8.0)


FAMILY = Family("qwen2", _hyper_parameters, _tensors)
