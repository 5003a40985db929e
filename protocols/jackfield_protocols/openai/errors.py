"""The error tree as OpenAI clients know it: ``{"error": {message, type, param, code}}``."""

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
    (errors.InvalidOutput, "invalid_response_error"),
    (errors.RequestError, "invalid_request_error"),
    (errors.RateLimited, "rate_limit_error"),
    (errors.CapacityError, "overloaded_error"),
    (errors.JackfieldError, "server_error"),
)
"""First match wins: the more special classes stand first. The statuses are the rail's common ones."""

CODES = {"not_found": "model_not_found"}


def error_body(error: JackfieldError, status: int) -> dict[str, Any]:
    """Return the wire shape; ``details`` and figures are added where the error has them."""
    body: dict[str, Any] = {
        "message": error.message,
        "type": next(kind for cls, kind in TYPES if isinstance(error, cls)),
        "param": error.param,
        "code": CODES.get(error.error_code, error.error_code),
        **error.numbers,
    }
    if error.details:
        body["details"] = error.details
    return {"error": body}


SURFACE = ErrorSurface(prefixes=("/v1",), body=error_body)
