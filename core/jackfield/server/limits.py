"""Bounds on what arrives: headers, body size by class of route, and how slowly a body may trickle in."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from litestar.types import HTTPReceiveMessage, HTTPScope, Receive

from jackfield.errors import TooLarge
from jackfield.server.errors import HttpRefusal
from jackfield.server.guards import headers_named
from jackfield.server.reader import ClientGone
from jackfield.server.settings import BodyLimits

__all__ = ["CONVERSATION", "UPLOAD", "BoundedBody", "check_headers"]

CONVERSATION: dict[str, Any] = {"body_class": "conversation"}
UPLOAD: dict[str, Any] = {"body_class": "upload"}
LINGER_BYTES, LINGER_S = 4 * 2**20, 1.0


def check_headers(scope: HTTPScope, limits: BodyLimits) -> None:
    """Refuse too many or too large headers, and bodies that would have to be inflated first."""
    headers = list(scope["headers"])
    size = sum(len(name) + len(value) + 4 for name, value in headers) + len(scope["raw_path"])
    if len(headers) > limits.num_headers or size > limits.header_bytes:
        raise HttpRefusal(
            431, f"more than {limits.num_headers} headers or {limits.header_bytes} bytes of them"
        )
    encodings = headers_named(scope, b"content-encoding")
    if any(encoding.strip().lower() not in ("", "identity") for encoding in encodings):
        raise HttpRefusal(415, f"Content-Encoding {encodings[0]!r} is not taken; send the body as it is")


class BoundedBody:
    """A ``receive`` that counts and times the body.

    The limit is looked up when the first piece is read: by then the router knows the handler, whose
    ``opt`` names its class (``CONVERSATION``, ``UPLOAD``, or none for small JSON).
    """

    def __init__(self, scope: HTTPScope, receive: Receive, limits: BodyLimits) -> None:
        self._scope = scope
        self._receive = receive
        self._limits = limits
        self._started_s = time.monotonic()
        self._num_bytes = 0
        self._is_complete = not _announces_body(scope)

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the body is left on the wire."""
        return self._is_complete

    async def receive(self) -> HTTPReceiveMessage:
        """Return the next message.

        Raises:
            TooLarge: The body is over its limit.
            HttpRefusal: 408, it arrives too slowly.
            ClientGone: The client left before it was whole.
        """
        if self._is_complete and self._num_bytes:
            return cast("HTTPReceiveMessage", await self._receive())
        limit = self._limit()
        if self._num_bytes == 0 and _announced_bytes(self._scope) > limit:
            raise _too_large(limit)
        message = await self._next()
        if message["type"] == "http.request":
            self._num_bytes += len(message["body"])
            self._is_complete = not message.get("more_body", False)
        elif not self._is_complete:
            raise ClientGone
        if self._num_bytes > limit:
            raise _too_large(limit)
        return message

    async def linger(self, max_bytes: float = LINGER_BYTES) -> None:
        """Read on for a moment what nobody wants, so that the client gets to see its refusal.

        Closing a connection with unread bytes resets it, and a reset takes back what was answered.
        """
        num_bytes = 0
        try:
            async with asyncio.timeout(LINGER_S):
                while not self._is_complete and num_bytes < max_bytes:
                    message = cast("HTTPReceiveMessage", await self._receive())
                    if message["type"] == "http.request":
                        num_bytes += len(message["body"])
                        self._is_complete = not message.get("more_body", False)
                    else:
                        self._is_complete = True
        except TimeoutError:
            return

    async def _next(self) -> HTTPReceiveMessage:
        if self._is_complete:
            return cast("HTTPReceiveMessage", await self._receive())
        rate_s = self._limits.body_grace_s + self._num_bytes / self._limits.body_bytes_per_s
        left_s = self._started_s + min(rate_s, self._limits.body_arrival_s) - time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                return cast("HTTPReceiveMessage", await self._receive())
        except TimeoutError:
            raise HttpRefusal(408, "the request body arrives too slowly", code="request_timeout") from None

    def _limit(self) -> int:
        handler = self._scope.get("route_handler")
        match handler.opt.get("body_class") if handler else None:
            case "conversation":
                return self._limits.conversation_bytes
            case "upload":
                return self._limits.upload_bytes
            case _:
                return self._limits.json_bytes


def _announces_body(scope: HTTPScope) -> bool:
    return _announced_bytes(scope) > 0 or bool(headers_named(scope, b"transfer-encoding"))


def _announced_bytes(scope: HTTPScope) -> int:
    values = headers_named(scope, b"content-length")
    return int(values[0]) if values and values[0].isascii() and values[0].isdigit() else 0


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the request body is over the {limit} bytes this path takes")
