"""Weights and tokenizer to a GGUF file: matrices as Q8_0, norms as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from jackfield_plugins.demo.training.model import ModelConfig
from jackfield_plugins.demo.training.rendering import CHAT_TEMPLATE
from jackfield_plugins.demo.training.vocabulary import CONTROL_TOKENS, PRE_RULE, TAG_TOKENS

__all__ = ["export", "q8_0"]

F32 = npt.NDArray[np.float32]
Q8_0_FILE_TYPE = 7
DESCRIPTION = (
    "A demonstration: a small chat model that shows what Jackfield does without a download. It was trained from"
    " nothing on conversations that a program wrote. Its answers are often wrong outside what it was taught."
)
TOKEN_TYPES = {"normal": 1, "control": 3, "tag": 4}


def q8_0(values: F32) -> npt.NDArray[np.uint8]:
    """Return rows of Q8_0 blocks: a float16 scale and 32 signed bytes for each 32 values."""
    blocks = values.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)).astype(np.float32)
    inverse = np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=scales > 0)
    numbers = np.rint(blocks * inverse).astype(np.int8)
    packed = np.concatenate([scales.astype(np.float16).view(np.uint8), numbers.view(np.uint8)], axis=1)
    return packed.reshape(*values.shape[:-1], -1)


def export(path: Path, config: ModelConfig, weights: dict[str, F32], tokenizer_json: str, name: str) -> Path:
    """Write the file and return its path.

    Args:
        weights: Every weight of ``weight_shapes``, as float32.
        tokenizer_json: What the tokenizer's ``to_str`` returned.
    """
    writer: Any = gguf.GGUFWriter(None, "qwen3")
    writer.add_name(name)
    writer.add_description(DESCRIPTION)
    writer.add_author("The Jackfield project")
    writer.add_size_label(f"{round(sum(w.size for w in weights.values()) / 1e6)}M")
    writer.add_file_type(Q8_0_FILE_TYPE)
    writer.add_quantization_version(2)
    _add_sizes(writer, config)
    _add_tokenizer(writer, json.loads(tokenizer_json))
    for tensor, values in weights.items():
        if values.ndim == 1:
            writer.add_tensor(tensor, np.ascontiguousarray(values, np.float32))
        else:
            writer.add_tensor(
                tensor,
                q8_0(np.ascontiguousarray(values, np.float32)),
                raw_dtype=gguf.GGMLQuantizationType.Q8_0,
            )
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_sizes(writer: Any, config: ModelConfig) -> None:
    writer.add_block_count(config.num_layers)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.ff_width)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_width)
    writer.add_value_length(config.head_width)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: Any, tokenizer: dict[str, Any]) -> None:
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = {**dict.fromkeys(CONTROL_TOKENS, "control"), **dict.fromkeys(TAG_TOKENS, "tag")}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_RULE)
    writer.add_token_list(tokens)
    writer.add_token_types([TOKEN_TYPES[kinds.get(token, "normal")] for token in tokens])
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    )
    writer.add_eos_token_id(vocabulary["<|im_end|>"])
    writer.add_bos_token_id(vocabulary["<|endoftext|>"])
    writer.add_pad_token_id(vocabulary["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
