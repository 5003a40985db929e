"""A model can be named in several ways, and a blank name is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from jackfield.errors import (
    NotFound,
    RequestError,
)
from jackfield.service.naming import match_model


@pytest.mark.parametrize(
    "name",
    ["Qwen3-4B.gguf", "qwen3-4b", "QWEN3-4B:latest", " qwen3-4b.gguf:latest ", "/models/Qwen3-4B.gguf"],
)
def test_name_leads_to_its_file(name: str) -> None:
    assert match_model(name, {"Qwen3-4B.gguf": Path("/models/Qwen3-4B.gguf")}) == "Qwen3-4B.gguf"


@pytest.mark.parametrize("name", ["qwen3", "../Qwen3-4B.gguf", "/etc/passwd", "qwen3-4b:7b"])
def test_other_names_are_not_found(name: str) -> None:
    with pytest.raises(NotFound, match="not found") as caught:
        match_model(name, {"Qwen3-4B.gguf": Path("/models/Qwen3-4B.gguf")})
    assert "/" not in caught.value.message


def test_blank_name_is_required() -> None:
    with pytest.raises(RequestError, match="model is required"):
        match_model("  ", {})
