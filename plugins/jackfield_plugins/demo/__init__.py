"""The demonstration model: a small Qwen 3 chat model that comes along, so that nothing need be downloaded.

How it was made is in ``training``; what it can do and what not is in ``docs/demo-model.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jackfield.descriptors import ModelDescriptor
from jackfield.hooks import hookimpl

__all__ = ["jackfield_models", "path"]


def path() -> Path:
    """Return where the file is."""
    return Path(__file__).with_name("demo.gguf")


@hookimpl
def jackfield_models() -> Sequence[ModelDescriptor]:
    """Declare the demonstration model."""
    return [
        ModelDescriptor(
            name="demo",
            summary="the demonstration model, small and often wrong",
            factory="jackfield_plugins.demo:path",
        )
    ]
