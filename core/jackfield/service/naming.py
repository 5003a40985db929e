"""Which model a client means."""

from __future__ import annotations

import ntpath
from collections.abc import Mapping
from pathlib import Path

from jackfield.errors import NotFound, RequestError

__all__ = ["match_model"]

EXTENSION = ".gguf"
LATEST = ":latest"


def names_model(name: str, file: str) -> bool:
    """Tell whether the name means that file: with or without ``.gguf`` and ``:latest``, in any case."""
    wanted = name.strip().casefold().removesuffix(LATEST)
    known = file.casefold()
    return wanted in (known, known.removesuffix(EXTENSION))


def match_model(name: str, files: Mapping[str, Path]) -> str:
    """Return the key of ``files`` that the name means: a file name, its stem, or the file's absolute path.

    Raises:
        RequestError: The name is blank.
        NotFound: It means none of the files. The name is only ever compared, never opened.
    """
    if not name.strip():
        raise RequestError("model is required", param="model")
    for file, path in files.items():
        if names_model(name, file) or name.strip() == str(path.absolute()):
            return file
    shown = ntpath.basename(name.strip())[:200]
    raise NotFound(f"model {shown!r} not found", code="model_not_found", param="model")
