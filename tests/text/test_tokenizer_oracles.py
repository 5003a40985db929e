from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from jackfield.gguf import open_checkpoint
from jackfield.text.contract import Tokenizer

pytestmark = pytest.mark.oracle

MODELS = [
    "gemma2",
    "gemma3",
    "gemma4_31b",
    "gemma4_e",
    "gemma4_moe",
    "gpt_oss",
    "llama",
    "ministral3",
    "mistral",
    "nemotron_h",
    "nemotron_h_moe",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen35",
    "qwen35_mtp",
    "qwen35moe",
    "qwen3moe",
    "qwen3next",
    "stories260K",
]
VOCABULARIES = ("gemma-4", "llama-spm", "phi-3", "qwen2")


def tokenizer_in(path: Path) -> Tokenizer:
    metadata = open_checkpoint(path).metadata
    name = metadata.text("tokenizer.ggml.model")
    tokenizer: Tokenizer = importlib.import_module(f"jackfield_plugins.tokenizers.{name}").build(metadata)
    return tokenizer


@pytest.mark.parametrize("model", MODELS)
def test_ids_of_short_texts_are_those_of_the_reference(oracles: Path, model: str) -> None:
    folder = oracles / model
    tokenizer = tokenizer_in(
        next(iter(sorted(folder.glob("model.gguf")) or sorted(folder.glob("*F32.gguf"))))
    )
    for case in json.loads((folder / "tokenize.json").read_text()):
        text = case["text"]
        assert tokenizer.encode(text) == case["ids"], text
        assert tokenizer.encode(text, add_special=True) == case["ids_add_special"], text
        parsed = tokenizer.encode(text, add_special=True, parse_special=True)
        assert parsed == case["ids_add_and_parse_special"], text


@pytest.mark.parametrize("name", VOCABULARIES)
def test_full_vocabularies_give_the_published_ids(oracles: Path, name: str) -> None:
    path = oracles / "vocab" / f"ggml-vocab-{name}.gguf"
    tokenizer = tokenizer_in(path)
    with path.with_name(path.name + ".inp").open(newline="") as file:
        texts = file.read().split("\n__ggml_vocab_test__\n")
    lines = path.with_name(path.name + ".out").read_text().split("\n")
    assert len(lines) >= len(texts) - 1 > 40
    for text, line in zip(texts, lines, strict=False):
        assert tokenizer.encode(text) == [int(token_id) for token_id in line.split()], text
