"""One id for each request: in every header clients look for, in every log line, in error texts."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

from litestar.types import Scope

__all__ = ["REQUEST_ID_HEADERS", "assign_request_id", "current_request_id"]

REQUEST_ID_HEADERS = (b"x-request-id", b"x-tensorsharp-request-id", b"request-id")
"""What OpenAI's, the contract's and Anthropic's clients look for."""
VALID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="-")


def assign_request_id(scope: Scope) -> str:
    """Take over the client's id where it is harmless, make one of 12 hex digits otherwise."""
    for name, value in scope["headers"]:
        if name in REQUEST_ID_HEADERS and VALID.fullmatch(value):
            request_id = value.decode("ascii")
            break
    else:
        request_id = secrets.token_hex(6)
    current_request_id.set(request_id)
    return request_id
