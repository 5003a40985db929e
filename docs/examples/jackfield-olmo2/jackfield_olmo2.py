"""OLMo 2: a llama that normalises after its layers instead of before.

Paper: OLMo team 2025, "2 OLMo 2 Furious", arXiv:2501.00656.

Differs from llama:
- no norm before attention or feed-forward; their outputs are normalised before the residual sum;
- queries and keys are normalised over the whole projection, not a head at a time;
- rotary pairs are halves of a head (NEOX).

Letters: L layers, D model width, H query heads, G key/value heads, K head width, F feed-forward width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jackfield import hookimpl
from jackfield.descriptors import ArchitectureDescriptor
from jackfield.errors import CheckpointError
from jackfield.gguf import Checkpoint, Metadata
from jackfield.program import Buffer, Builder, Program, RopeLayout, RopeTable, make_rope_table


@dataclass(frozen=True)
class Config:
    """Hyper-parameters, spelt as in the file."""

    context_length: int
    embedding_length: int
    block_count: int
    feed_forward_length: int
    head_count: int
    head_count_kv: int
    layer_norm_rms_epsilon: float
    freq_base: float

    @classmethod
    def from_metadata(cls, metadata: Metadata) -> Config:
        key = metadata.of_architecture
        head_count = metadata.integer(key("attention.head_count"), minimum=1)
        config = cls(
            context_length=metadata.integer(key("context_length"), minimum=1),
            embedding_length=metadata.integer(key("embedding_length"), minimum=1),
            block_count=metadata.integer(key("block_count"), minimum=1),
            feed_forward_length=metadata.integer(key("feed_forward_length"), minimum=1),
            head_count=head_count,
            head_count_kv=metadata.integer(key("attention.head_count_kv"), head_count, minimum=1),
            layer_norm_rms_epsilon=metadata.number(key("attention.layer_norm_rms_epsilon")),
            freq_base=metadata.number(key("rope.freq_base"), 10000.0),
        )
        if config.embedding_length % config.head_count or config.head_count % config.head_count_kv:
            raise CheckpointError(
                f"olmo2: {config.head_count} heads do not divide width {config.embedding_length}, or"
                f" {config.head_count_kv} key/value heads do not divide them"
            )
        return config

    @property
    def head_width(self) -> int:
        return self.embedding_length // self.head_count


def attention(b: Builder, config: Config, layer: int, x: Buffer, table: RopeTable) -> Buffer:
    """Attend, project, normalise: what the residual stream gets from layer ``layer``."""
    D, H, G, K = config.embedding_length, config.head_count, config.head_count_kv, config.head_width
    eps = config.layer_norm_rms_epsilon
    prefix = f"blk.{layer}."
    q = b.linear(x, b.weight(prefix + "attn_q.weight", H * K, D))
    k = b.linear(x, b.weight(prefix + "attn_k.weight", G * K, D))
    v = b.linear(x, b.weight(prefix + "attn_v.weight", G * K, D))
    q = b.rms_norm(q, b.weight(prefix + "attn_q_norm.weight", H * K), eps)
    k = b.rms_norm(k, b.weight(prefix + "attn_k_norm.weight", G * K), eps)
    cache = b.kv_cache(G, K)
    b.kv_append(b.rope(k, K, table), v, cache)
    o = b.attend(b.rope(q, K, table), cache, H, scale=1 / math.sqrt(K))
    o = b.linear(o, b.weight(prefix + "attn_output.weight", D, H * K))
    return b.rms_norm(o, b.weight(prefix + "post_attention_norm.weight", D), eps)


def feed_forward(b: Builder, config: Config, layer: int, x: Buffer) -> Buffer:
    """Gate, project, normalise."""
    D, F = config.embedding_length, config.feed_forward_length
    prefix = f"blk.{layer}."
    gate = b.linear(x, b.weight(prefix + "ffn_gate.weight", F, D))
    up = b.linear(x, b.weight(prefix + "ffn_up.weight", F, D))
    down = b.linear(b.glu(gate, up), b.weight(prefix + "ffn_down.weight", D, F))
    return b.rms_norm(down, b.weight(prefix + "post_ffw_norm.weight", D), config.layer_norm_rms_epsilon)


def build(checkpoint: Checkpoint) -> Program:
    """Read the hyper-parameters and write the forward pass down, once."""
    config = Config.from_metadata(checkpoint.metadata)
    b = Builder(checkpoint.architecture, checkpoint.tensors)
    D, V = config.embedding_length, checkpoint.tensors["token_embd.weight"].shape[0]
    embedding = b.weight("token_embd.weight", V, D)
    table = make_rope_table(config.head_width, config.freq_base, RopeLayout.NEOX)

    x = b.embed(embedding)
    for layer in range(config.block_count):
        x = b.add(x, attention(b, config, layer, x, table))
        x = b.add(x, feed_forward(b, config, layer, x))
    x = b.rms_norm(b.select_rows(x), b.weight("output_norm.weight", D), config.layer_norm_rms_epsilon)
    logits = b.linear(x, b.optional_weight("output.weight", V, D) or embedding)
    return b.finish(x, logits, config.context_length)


@hookimpl
def jackfield_architectures() -> list[ArchitectureDescriptor]:
    return [
        ArchitectureDescriptor(
            name="olmo2", summary="OLMo 2 (post-norm llama)", factory="jackfield_olmo2:build"
        )
    ]
