"""One request's way through the layers, and its answer's way back."""

from __future__ import annotations

import logging
import math
import time
from typing import cast

from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPScope, Message, Receive, Send

from jackfield.server.auth import KeyCheck
from jackfield.server.errors import ErrorSurfaces, WireError
from jackfield.server.guards import HostGuard, OriginGuard
from jackfield.server.limits import BoundedBody, check_headers
from jackfield.server.rail import Rail
from jackfield.server.reader import ClientGone
from jackfield.server.request_id import REQUEST_ID_HEADERS, assign_request_id

__all__ = ["Exchange", "Layers"]

log = logging.getLogger("jackfield.server")
access_log = logging.getLogger("jackfield.access")


class Layers:
    """What every request is checked against."""

    def __init__(self, rail: Rail, surfaces: ErrorSurfaces) -> None:
        self.rail = rail
        self.surfaces = surfaces
        self.host_guard = HostGuard(rail.settings)
        self.origin_guard = OriginGuard(rail.settings)
        self.key_check = KeyCheck(rail.settings.api_keys)


class Exchange:
    """One request and its answer on their way through the layers."""

    def __init__(
        self, layers: Layers, router: ASGIApp, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        self._layers = layers
        self._router = router
        self._scope = cast("HTTPScope", {**scope, "state": dict(scope.get("state") or {})})
        self._is_head = scope["method"] == "HEAD"
        self._send = send
        self._body = BoundedBody(self._scope, receive, layers.rail.settings.bodies)
        self._request_id = assign_request_id(scope)
        self._started_s = time.monotonic()
        self._status = 0
        self._num_bytes = 0

    async def run(self) -> None:
        """Check the request, pass it to the router, and answer whatever was refused."""
        try:
            if not await self._is_settled():
                if self._is_head:
                    self._scope["method"] = "GET"
                await self._router(self._scope, self._body.receive, self._answer)
        except ClientGone:
            log.info("client left before the answer")
        except Exception as error:
            if self._status:
                raise
            await self._refuse(error)
        finally:
            self._log_access()

    async def _is_settled(self) -> bool:
        """Run the guards; tell whether the answer has been given already."""
        layers, scope = self._layers, self._scope
        layers.host_guard.check(scope)
        check_headers(scope, layers.rail.settings.bodies)
        layers.origin_guard.check(scope)
        if layers.origin_guard.is_preflight(scope):
            await self._reply(WireError(204, dict(layers.origin_guard.preflight_headers(scope)), b""))
            return True
        layers.key_check.check(scope)
        return False

    async def _refuse(self, error: Exception) -> None:
        await self._reply(self._layers.surfaces.render(self._scope["path"], error))

    async def _reply(self, wire: WireError) -> None:
        headers = {**wire.headers, "content-length": str(len(wire.body))}
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._answer({"type": "http.response.start", "status": wire.status, "headers": encoded})
        await self._answer({"type": "http.response.body", "body": wire.body, "more_body": False})

    async def _answer(self, message: Message) -> None:
        """Send a message of the answer, with the rail's headers on its start."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if not self._body.is_complete:
                await self._body.linger()
            message["headers"] = [*message["headers"], *self._extra_headers()]
        elif message["type"] == "http.response.body":
            self._num_bytes += len(message["body"])
            if self._is_head:
                message["body"] = b""
            if not self._body.is_complete and not message.get("more_body", False):
                message = await self._end_later(message)
        await self._send(message)

    async def _end_later(self, message: HTTPResponseBodyEvent) -> HTTPResponseBodyEvent:
        """Send the last piece of an answer and read on; return the end, at which the connection is closed."""
        await self._send({**message, "more_body": True})
        await self._body.linger(max_bytes=math.inf)
        return {**message, "body": b"", "more_body": False}

    def _extra_headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(name, self._request_id.encode("ascii")) for name in REQUEST_ID_HEADERS]
        headers.append((b"x-content-type-options", b"nosniff"))
        cors = self._layers.origin_guard.cors_headers(self._scope)
        headers += [(name.encode("ascii"), value.encode("latin-1")) for name, value in cors.items()]
        if not self._body.is_complete:
            headers.append((b"connection", b"close"))
        return headers

    def _log_access(self) -> None:
        self._layers.rail.num_answers[self._status] += 1
        access_log.info(
            "%s %s %d %d bytes %.1f ms",
            "HEAD" if self._is_head else self._scope["method"],
            self._scope["path"],
            self._status,
            self._num_bytes,
            (time.monotonic() - self._started_s) * 1000,
        )
