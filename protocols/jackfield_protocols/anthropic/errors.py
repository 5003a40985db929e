"""The error tree as Anthropic clients know it: ``{"type": "error", "error": {type, message}}``."""

from __future__ import annotations

from typing import Any

from jackfield import errors
from jackfield.errors import JackfieldError
from jackfield.server.errors import ErrorSurface
from jackfield.server.request_id import current_request_id

__all__ = ["SURFACE", "error_body"]

TYPES: tuple[tuple[type[JackfieldError], str], ...] = (
    (errors.Unauthenticated, "authentication_error"),
    (errors.Forbidden, "permission_error"),
    (errors.NotFound, "not_found_error"),
    (errors.TooLarge, "request_too_large"),
    (errors.RequestError, "invalid_request_error"),
    (errors.RateLimited, "rate_limit_error"),
    (errors.CapacityError, "overloaded_error"),
    (errors.JackfieldError, "api_error"),
)
"""First match wins: the more special classes stand first."""


def error_body(error: JackfieldError, status: int) -> dict[str, Any]:
    """Return the wire shape; the field at fault and figures are added where the error has them."""
    body: dict[str, Any] = {
        "type": next(kind for cls, kind in TYPES if isinstance(error, cls)),
        "message": error.message,
        "code": error.error_code,
        **error.numbers,
    }
    if error.param:
        body["param"] = error.param
    if error.details:
        body["details"] = error.details
    return {"type": "error", "error": body, "request_id": current_request_id.get()}


SURFACE = ErrorSurface(
    prefixes=("/v1/messages",), body=error_body, statuses={errors.QueueFull: 529, errors.InvalidOutput: 400}
)
"""529 is Anthropic's own status for "too busy"; its clients try again."""
