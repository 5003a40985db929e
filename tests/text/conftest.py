from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import pytest

from jackfield.gguf import Metadata, open_checkpoint
from jackfield.testing.vocabularies import TinyVocabulary, byte_level, sentence_pieces
from jackfield.text.contract import Tokenizer


def write_vocabulary(path: Path, keys: Mapping[str, Any]) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in keys.items():
        name = key if "." in key else f"tokenizer.ggml.{key}"
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value) if value >= 0 else writer.add_int32(name, value)
        else:
            writer.add_array(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def metadata_of(tmp_path: Path) -> Iterator[Callable[..., Metadata]]:
    """Return a function from ``tokenizer.ggml`` keys to the metadata of a file that has them."""
    checkpoints = []

    def build(**keys: Any) -> Metadata:
        path = tmp_path / f"vocabulary-{len(checkpoints)}.gguf"
        write_vocabulary(path, keys)
        checkpoints.append(open_checkpoint(path))
        return checkpoints[-1].metadata

    yield build
    for checkpoint in checkpoints:
        checkpoint.close()


def keys_of(vocabulary: TinyVocabulary) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "model": vocabulary.model,
        "tokens": list(vocabulary.tokens),
        "token_type": [int(kind) for kind in vocabulary.types],
        **vocabulary.settings,
    }
    if vocabulary.merges:
        keys["merges"] = list(vocabulary.merges)
    if vocabulary.scores:
        keys["scores"] = [float(score) for score in vocabulary.scores]
    return keys


def build_tokenizer(metadata: Metadata) -> Tokenizer:
    name = metadata.text("tokenizer.ggml.model")
    tokenizer: Tokenizer = importlib.import_module(f"jackfield_plugins.tokenizers.{name}").build(metadata)
    return tokenizer


@pytest.fixture
def tokenizer_of(metadata_of: Callable[..., Metadata]) -> Callable[..., Tokenizer]:
    """Return a function from ``tokenizer.ggml`` keys to the tokenizer of a file that has them."""
    return lambda **keys: build_tokenizer(metadata_of(**keys))


@pytest.fixture
def byte_keys() -> dict[str, Any]:
    """Return the keys of a small byte-level vocabulary, to change and build from."""
    return keys_of(byte_level(420))


@pytest.fixture
def piece_keys() -> dict[str, Any]:
    """Return the keys of a small SentencePiece vocabulary, to change and build from."""
    return keys_of(sentence_pieces(420))


@pytest.fixture
def byte_tokenizer(tokenizer_of: Callable[..., Tokenizer], byte_keys: dict[str, Any]) -> Tokenizer:
    return tokenizer_of(**byte_keys)


@pytest.fixture
def piece_tokenizer(tokenizer_of: Callable[..., Tokenizer], piece_keys: dict[str, Any]) -> Tokenizer:
    return tokenizer_of(**piece_keys)
