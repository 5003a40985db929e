"""The error tree as llama-server's clients know it: ``{"error": {code, message, type}}``."""

from __future__ import annotations

from typing import Any

from jackfield import errors
from jackfield.errors import JackfieldError
from jackfield.server.errors import ErrorSurface

__all__ = ["SURFACE", "error_body"]

TYPES: tuple[tuple[type[JackfieldError], str], ...] = (
    (errors.Unauthenticated, "authentication_error"),
    (errors.Forbidden, "permission_error"),
    (errors.NotFound, "not_found_error"),
    (errors.ContextOverflow, "exceed_context_size_error"),
    (errors.Unsupported, "not_supported_error"),
    (errors.RequestError, "invalid_request_error"),
    (errors.CapacityError, "unavailable_error"),
    (errors.JackfieldError, "server_error"),
)
"""First match wins: the more special classes stand first. The statuses are the rail's common ones."""

PREFIXES = (
    "/completion", "/completions", "/infill", "/tokenize", "/detokenize", "/apply-template", "/props", "/slots",
    "/rerank", "/reranking", "/v1/rerank", "/v1/reranking",
)  # fmt: skip


def error_body(error: JackfieldError, status: int) -> dict[str, Any]:
    """Return the wire shape; an overflow has its figures under llama-server's names."""
    kind = next(kind for cls, kind in TYPES if isinstance(error, cls))
    numbers = dict(error.numbers)
    if "n_prompt" in numbers:
        numbers["n_prompt_tokens"] = numbers.pop("n_prompt")
    return {"error": {"code": status, "message": error.message, "type": kind, **numbers}}


SURFACE = ErrorSurface(prefixes=PREFIXES, body=error_body)
