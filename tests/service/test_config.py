"""Settings that cannot be meant are named; what may be loaded is what was named."""

from __future__ import annotations

from pathlib import Path

import pytest

from jackfield.errors import (
    ConfigError,
)
from jackfield.service.config import EngineConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kv_type": "q8"}, "kv_type is 'q8', expected one of f16, f32, q8_0. Did you mean 'q8_0'"),
        ({"page_size": 24}, "page_size is 24, expected a multiple of 16"),
        ({"threads": 0}, "threads is 0, expected at least 1"),
        (
            {"threads": 9999},
            "threads is 9999, expected at most 1024; best are as many as there are cores",
        ),
        ({"context_length": 3}, "context_length is 3, expected at least 16"),
    ],
)
def test_wrong_setting_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EngineConfig(**fields).check()  # type: ignore[arg-type]  # wrong on purpose


def test_loadable_files_are_the_named_ones_and_the_folders(tmp_path: Path) -> None:
    for name in ("b.gguf", "a.gguf", "notes.txt"):
        (tmp_path / name).touch()
    config = EngineConfig(model="/x/a.gguf", models=["/y/c.gguf"], model_dir=str(tmp_path))
    assert list(config.loadable()) == ["a.gguf", "c.gguf", "b.gguf"]
    assert config.loadable()["a.gguf"] == Path("/x/a.gguf")
