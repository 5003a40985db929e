"""Grammars over the vocabulary of a small model."""

from __future__ import annotations

import pytest

from jackfield.constrain.grammar import Grammars
from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.testing.tiny import make_checkpoint
from jackfield.text.contract import Tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = make_checkpoint(tmp_path_factory.mktemp("models") / "tiny.gguf", "qwen3")
    with open_checkpoint(path) as checkpoint:
        made: Tokenizer = Host().tokenizer("gpt2").load()(checkpoint.metadata)
        return made


@pytest.fixture(scope="session")
def grammars(tokenizer: Tokenizer) -> Grammars:
    return Grammars(tokenizer)
