"""The error tree as Ollama clients know it: ``{"error": "text"}``."""

from __future__ import annotations

from typing import Any

from jackfield.errors import JackfieldError
from jackfield.server.errors import ErrorSurface

__all__ = ["SURFACE", "error_body"]


def error_body(error: JackfieldError, status: int) -> dict[str, Any]:
    """Return the wire shape; codes and figures ride along for those who look."""
    body: dict[str, Any] = {"error": error.message, "code": error.error_code, **error.numbers}
    if error.details:
        body["details"] = error.details
    return body


SURFACE = ErrorSurface(prefixes=("/api",), body=error_body)
