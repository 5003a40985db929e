"""A gemma4 with experts and without layer inputs, that refines canvases of eight tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import Dimensions, Family, HyperParameter, TinyTensor, gemma4, linear, norm

__all__ = ["FAMILY"]

LAYER_INPUTS = ("per_layer_", ".inp_gate.", ".proj.", ".post_norm.")
CANVAS_LENGTH = 8


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    keys = dict(gemma4.FAMILY.hyper_parameters(d))
    return {**keys, "embedding_length_per_layer_input": 0, "attention.causal": False}


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    for tensor in gemma4.FAMILY.tensors(d):
        if not any(part in tensor.name for part in LAYER_INPUTS):
            yield tensor
        if tensor.name.endswith(".layer_output_scale.weight"):
            yield norm(tensor.name.replace("layer_output_scale", "enc_layer_output_scale"), 1)
    yield norm("self_cond_pre_norm.weight", d.width)
    yield linear("self_cond_gate.weight", d.ff_width, d.width)
    yield linear("self_cond_up.weight", d.ff_width, d.width)
    yield linear("self_cond_down.weight", d.width, d.ff_width)


FAMILY = Family(
    "diffusion-gemma",
    _hyper_parameters,
    _tensors,
    other_keys={"diffusion.canvas_length": CANVAS_LENGTH, "diffusion.eb_max_steps": 6},
)
