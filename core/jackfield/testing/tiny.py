"""Tiny checkpoints with random weights: real files, real vocabularies, made in a fraction of a second.

    make_checkpoint(path, "qwen3", tensor_type="Q8_0")

Weights depend on the seed and the arguments only. Nothing such a model says makes sense, but every part
of the system can load it, and two implementations must agree on every logit.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import gguf
import numpy as np
import numpy.typing as npt

from jackfield.gguf import BLOCK_FORMATS
from jackfield.testing.blocks import encode, random_blocks
from jackfield.testing.chatml import CHATML
from jackfield.testing.families import Dimensions, Family, HyperParameter, TinyTensor, family_named
from jackfield.testing.vocabularies import TinyVocabulary, byte_level, sentence_pieces

__all__ = ["make_checkpoint"]

MetadataValue: TypeAlias = "HyperParameter | list[str] | None"
FLOATS = frozenset({"F32", "F16", "BF16"})
MOST_QUANTISED = 1 << 22
"""Elements; a larger tensor is filled with random blocks, which takes seconds instead of minutes."""

VOCABULARIES = {"gpt2": byte_level, "llama": sentence_pieces}


def make_checkpoint(
    path: str | Path,
    architecture: str | Family = "llama",
    *,
    tensor_type: str = "F32",
    tensor_types: Mapping[str, str] | None = None,
    vocabulary: str = "gpt2",
    vocab_size: int = 384,
    num_layers: int = 2,
    context_length: int = 1024,
    sizes: Mapping[str, Any] | None = None,
    chat_template: str | None = CHATML,
    metadata: Mapping[str, MetadataValue] | None = None,
    seed: int = 0,
) -> Path:
    """Write a small checkpoint and return its path.

    Added tokens have small rows in the output matrix, so that a greedy answer does not end by chance.

    Args:
        path: The file to write.
        architecture: A family of ``jackfield.testing.families``, or one of your own.
        tensor_type: Block format of the matrices; everything else is F32.
        tensor_types: Other formats for tensors whose names match a pattern, such as ``{"output.*": "Q6_K"}``.
        vocabulary: ``gpt2`` (byte-level) or ``llama`` (SentencePiece).
        vocab_size: V; what the vocabulary cannot fill is padding.
        num_layers: L.
        context_length: The context the model claims to be trained for.
        sizes: Fields of ``Dimensions`` to set; the rest follow from the block format.
        chat_template: Jinja source, ``None`` for a model without.
        metadata: Keys to add or replace; ``None`` leaves a key out.
        seed: Of the weights.
    """
    family = architecture if isinstance(architecture, Family) else family_named(architecture)
    types = {**(tensor_types or {}), "*": tensor_type}
    dimensions = family.adapt(_dimensions(types.values(), vocab_size, num_layers, context_length))
    dimensions = dataclasses.replace(dimensions, **(sizes or {}))
    words = VOCABULARIES[vocabulary](vocab_size)
    writer = gguf.GGUFWriter(None, family.name)
    _add_metadata(writer, _metadata(family, dimensions, words, chat_template) | dict(metadata or {}))
    generator = np.random.default_rng(seed)
    tensors = list(family.tensors(dimensions))
    output_name = _output_name(tensors)
    for tensor in tensors:
        type_name = _type_of(tensor, types)
        if math.prod(tensor.shape) > MOST_QUANTISED and type_name not in FLOATS:
            _add_blocks(writer, tensor, type_name, generator)
            continue
        values = generator.normal(tensor.centre, tensor.spread, tensor.shape).astype(np.float32)
        if tensor.name == output_name:
            values[words.added_ids] *= np.float32(0.1)
        _add_tensor(writer, tensor, values, type_name, generator)
    return _write(writer, Path(path))


def _dimensions(
    type_names: Iterable[str], vocab_size: int, num_layers: int, context_length: int
) -> Dimensions:
    """Return sizes whose rows are whole blocks: 64 and 96 wide where the format allows."""
    block = max(BLOCK_FORMATS[name].block_elements for name in type_names)
    width = max(64, block)
    return Dimensions(
        num_layers=num_layers,
        width=width,
        head_width=width // 4,
        ff_width=96 if block <= 32 else max(128, block),
        vocab_size=vocab_size,
        context_length=context_length,
        block_elements=block,
    )


def _metadata(
    family: Family, dimensions: Dimensions, vocabulary: TinyVocabulary, chat_template: str | None
) -> dict[str, MetadataValue]:
    hyper_parameters = family.hyper_parameters(dimensions)
    return {
        "general.name": f"Tiny {family.name}",
        **{f"{family.name}.{name}": value for name, value in hyper_parameters.items()},
        **family.other_keys,
        "tokenizer.ggml.model": vocabulary.model,
        "tokenizer.ggml.tokens": vocabulary.tokens,
        "tokenizer.ggml.token_type": vocabulary.types,
        "tokenizer.ggml.merges": vocabulary.merges or None,
        "tokenizer.ggml.scores": vocabulary.scores or None,
        **{f"tokenizer.ggml.{name}": value for name, value in vocabulary.settings.items()},
        "tokenizer.chat_template": chat_template,
    }


def _add_metadata(writer: gguf.GGUFWriter, entries: Mapping[str, MetadataValue]) -> None:
    for key, value in entries.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif value is not None:
            writer.add_array(key, value)


def _output_name(tensors: Iterable[TinyTensor]) -> str:
    """Return the matrix that makes logits: the embedding where there is no other."""
    names = {tensor.name for tensor in tensors}
    return "output.weight" if "output.weight" in names else "token_embd.weight"


def _type_of(tensor: TinyTensor, types: Mapping[str, str]) -> str:
    if not tensor.is_quantisable:
        return "F32"
    return next(form for pattern, form in types.items() if fnmatch.fnmatch(tensor.name, pattern))


def _add_tensor(
    writer: gguf.GGUFWriter,
    tensor: TinyTensor,
    values: npt.NDArray[np.float32],
    type_name: str,
    generator: np.random.Generator,
) -> None:
    if type_name == "F32":
        writer.add_tensor(tensor.name, values)
        return
    rows = encode(values, type_name, generator).reshape(*tensor.shape[:-1], -1)
    writer.add_tensor(tensor.name, rows, raw_dtype=gguf.GGMLQuantizationType[type_name])


def _add_blocks(
    writer: gguf.GGUFWriter, tensor: TinyTensor, type_name: str, generator: np.random.Generator
) -> None:
    blocks = random_blocks(type_name, math.prod(tensor.shape), tensor.spread, generator)
    rows = blocks.reshape(*tensor.shape[:-1], -1)
    writer.add_tensor(tensor.name, rows, raw_dtype=gguf.GGMLQuantizationType[type_name])


def _write(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
