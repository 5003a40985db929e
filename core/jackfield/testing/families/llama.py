"""A llama: grouped-query attention with interleaved rotary pairs, SwiGLU, an output matrix of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import Dimensions, Family, HyperParameter, TinyTensor, linear, norm

__all__ = ["FAMILY"]


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        "block_count": d.num_layers,
        "context_length": d.context_length,
        "embedding_length": d.width,
        "feed_forward_length": d.ff_width,
        "attention.head_count": d.num_heads,
        "attention.head_count_kv": d.num_kv_heads,
        "attention.key_length": d.head_width,
        "attention.value_length": d.head_width,
        "attention.layer_norm_rms_epsilon": d.epsilon,
        "rope.dimension_count": d.head_width,
        "rope.freq_base": d.freq_base,
        "vocab_size": d.vocab_size,
    }


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield TinyTensor("token_embd.weight", (d.vocab_size, d.width), 1.0, is_quantisable=True)
    for layer in range(d.num_layers):
        yield from _block(d, f"blk.{layer}")
    yield norm("output_norm.weight", d.width)
    yield linear("output.weight", d.vocab_size, d.width, gain=3.0)


def _block(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield norm(f"{prefix}.attn_norm.weight", d.width)
    yield linear(f"{prefix}.attn_q.weight", d.query_width, d.width)
    yield linear(f"{prefix}.attn_k.weight", d.kv_width, d.width)
    yield linear(f"{prefix}.attn_v.weight", d.kv_width, d.width)
    yield linear(f"{prefix}.attn_output.weight", d.width, d.query_width)
    yield norm(f"{prefix}.ffn_norm.weight", d.width)
    yield linear(f"{prefix}.ffn_gate.weight", d.ff_width, d.width)
    yield linear(f"{prefix}.ffn_up.weight", d.ff_width, d.width)
    yield linear(f"{prefix}.ffn_down.weight", d.width, d.ff_width)


FAMILY = Family("llama", _hyper_parameters, _tensors)
