"""A gemma4 with everything: layer inputs, shared keys, wider heads on full layers, experts.

Every third layer sees everything and has twice the head width; the last third shares keys. Real models have
either layer inputs and shared keys, or experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import (
    Dimensions,
    Family,
    HyperParameter,
    TinyTensor,
    common_keys,
    feed_forward,
    linear,
    norm,
    vector,
)

__all__ = ["FAMILY"]


LAYER_INPUT_WIDTH = 32


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {
        **common_keys(d),
        "attention.key_length": 2 * d.head_width,
        "attention.value_length": 2 * d.head_width,
        "attention.key_length_swa": d.head_width,
        "attention.value_length_swa": d.head_width,
        "attention.head_count_kv": [
            1 if _is_full(d, layer) else d.num_kv_heads for layer in range(d.num_layers)
        ],
        "attention.sliding_window": d.size("window", 16),
        "attention.sliding_window_pattern": [not _is_full(d, layer) for layer in range(d.num_layers)],
        "attention.shared_kv_layers": _num_shared(d),
        "embedding_length_per_layer_input": _input_width(d),
        "rope.dimension_count": 2 * d.head_width,
        "rope.dimension_count_swa": d.head_width,
        "rope.freq_base": 1_000_000.0,
        "rope.freq_base_swa": 10_000.0,
        "final_logit_softcapping": 20.0,
        **_expert_keys(d),
    }


def _expert_keys(d: Dimensions) -> dict[str, HyperParameter]:
    if not d.num_experts:
        return {}
    return {
        "expert_count": d.num_experts,
        "expert_used_count": d.num_experts_used,
        "expert_feed_forward_length": d.ff_width,
    }


def _is_full(d: Dimensions, layer: int) -> bool:
    interval = d.size("full_attention_interval", 3)
    return layer % interval == interval - 1


def _num_shared(d: Dimensions) -> int:
    return d.size("shared_kv_layers", max(0, d.num_layers - 3))


def _input_width(d: Dimensions) -> int:
    return d.size("layer_input_width", max(LAYER_INPUT_WIDTH, d.block_elements))


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    inputs = _input_width(d)
    yield vector("rope_freqs.weight", d.head_width, spread=0.0, centre=1.0)
    yield linear("token_embd.weight", d.vocab_size, d.width)
    yield linear("per_layer_token_embd.weight", d.vocab_size, inputs * d.num_layers)
    yield linear("per_layer_model_proj.weight", inputs * d.num_layers, d.width)
    yield norm("per_layer_proj_norm.weight", inputs)
    for layer in range(d.num_layers):
        yield from _attention(d, layer)
        yield from _feed_forward(d, f"blk.{layer}")
        yield from _layer_input(d, f"blk.{layer}")
    yield norm("output_norm.weight", d.width)


def _attention(d: Dimensions, layer: int) -> Iterator[TinyTensor]:
    prefix, is_full = f"blk.{layer}", _is_full(d, layer)
    head_width = 2 * d.head_width if is_full else d.head_width
    kv_width = head_width * (1 if is_full else d.num_kv_heads)
    yield norm(f"{prefix}.attn_norm.weight", d.width)
    yield linear(f"{prefix}.attn_q.weight", d.num_heads * head_width, d.width)
    yield norm(f"{prefix}.attn_q_norm.weight", head_width)
    if layer < d.num_layers - _num_shared(d):
        yield linear(f"{prefix}.attn_k.weight", kv_width, d.width)
        yield norm(f"{prefix}.attn_k_norm.weight", head_width)
        if not is_full:
            yield linear(f"{prefix}.attn_v.weight", kv_width, d.width)
    yield linear(f"{prefix}.attn_output.weight", d.width, d.num_heads * head_width)
    yield norm(f"{prefix}.post_attention_norm.weight", d.width)


def _feed_forward(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield norm(f"{prefix}.ffn_norm.weight", d.width)
    yield from feed_forward(prefix, d.width, d.ff_width)
    yield norm(f"{prefix}.post_ffw_norm.weight", d.width)
    if d.num_experts:
        yield from _experts(d, prefix)


def _experts(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    for name in ("post_ffw_norm_1", "post_ffw_norm_2", "pre_ffw_norm_2"):
        yield norm(f"{prefix}.{name}.weight", d.width)
    yield vector(f"{prefix}.ffn_gate_inp.weight", d.num_experts, d.width)
    yield norm(f"{prefix}.ffn_gate_inp.scale", d.width)
    yield linear(f"{prefix}.ffn_gate_up_exps.weight", 2 * d.ff_width, d.width, stack=d.num_experts)
    yield linear(f"{prefix}.ffn_down_exps.weight", d.width, d.ff_width, stack=d.num_experts)
    yield norm(f"{prefix}.ffn_down_exps.scale", d.num_experts)


def _layer_input(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield linear(f"{prefix}.inp_gate.weight", _input_width(d), d.width)
    yield linear(f"{prefix}.proj.weight", d.width, _input_width(d))
    yield norm(f"{prefix}.post_norm.weight", d.width)
    yield norm(f"{prefix}.layer_output_scale.weight", 1)


FAMILY = Family("gemma4", _hyper_parameters, _tensors)
