"""OLMo 2 through the suite that every architecture passes, on a small checkpoint made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import jackfield_olmo2
import pytest

from jackfield.host import Host
from jackfield.testing.architectures import ArchitectureSuite
from jackfield.testing.families import Dimensions, Family, HyperParameter, TinyTensor, linear, norm


def hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
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


def tensors(d: Dimensions) -> Iterator[TinyTensor]:
    yield TinyTensor("token_embd.weight", (d.vocab_size, d.width), 1.0, is_quantisable=True)
    for layer in range(d.num_layers):
        prefix = f"blk.{layer}"
        yield linear(f"{prefix}.attn_q.weight", d.query_width, d.width)
        yield linear(f"{prefix}.attn_k.weight", d.kv_width, d.width)
        yield linear(f"{prefix}.attn_v.weight", d.kv_width, d.width)
        yield norm(f"{prefix}.attn_q_norm.weight", d.query_width)
        yield norm(f"{prefix}.attn_k_norm.weight", d.kv_width)
        yield linear(f"{prefix}.attn_output.weight", d.width, d.query_width)
        yield norm(f"{prefix}.post_attention_norm.weight", d.width)
        yield linear(f"{prefix}.ffn_gate.weight", d.ff_width, d.width)
        yield linear(f"{prefix}.ffn_up.weight", d.ff_width, d.width)
        yield linear(f"{prefix}.ffn_down.weight", d.width, d.ff_width)
        yield norm(f"{prefix}.post_ffw_norm.weight", d.width)
    yield norm("output_norm.weight", d.width)
    yield linear("output.weight", d.vocab_size, d.width, gain=3.0)


FAMILY = Family("olmo2", hyper_parameters, tensors)


class TestOlmo2(ArchitectureSuite):
    family = FAMILY

    @pytest.fixture(scope="class")
    @classmethod
    def host(cls) -> Host:
        return Host({"olmo2": jackfield_olmo2})
