"""File types of several block formats, put together as llama.cpp's quantiser does."""

from __future__ import annotations

from jackfield.errors import ConfigError, did_you_mean
from jackfield.gguf.blocks import BLOCK_FORMATS

__all__ = ["tensor_types"]

MIXTURES = {"Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K"}
"""The format of the bulk; some tensors are Q6_K."""


def tensor_types(file_type: str, num_layers: int) -> tuple[str, dict[str, str]]:
    """Return the format of the bulk, and patterns of tensor names with the format of what differs.

    Source: ``llama_tensor_get_type`` of llama.cpp: the output matrix (the embedding where there is no other), and
    values and down-projections of half of the layers, have two bits more.

    Raises:
        ConfigError: There is no such type.
    """
    if file_type == "MXFP4_MOE":
        return "Q8_0", {"*_exps.weight": "MXFP4"}
    if file_type in BLOCK_FORMATS:
        return file_type, {}
    bulk = MIXTURES.get(file_type)
    if bulk is None:
        known = [*BLOCK_FORMATS, *MIXTURES, "MXFP4_MOE"]
        raise ConfigError(f"no block format is called {file_type!r}.{did_you_mean(file_type, known)}")
    better = {"output.weight": "Q6_K", "token_embd.weight": "Q6_K"}
    for layer in range(num_layers):
        if _has_more_bits(layer, num_layers):
            better |= {
                f"blk.{layer}.{name}.weight": "Q6_K" for name in ("attn_v", "ffn_down", "ffn_down_exps")
            }
    return bulk, better


def _has_more_bits(layer: int, num_layers: int) -> bool:
    eighth = num_layers // 8
    return layer < eighth or layer >= 7 * num_layers // 8 or (layer - eighth) % 3 == 2
