"""The rail: one application on which every protocol is mounted, behind the same guards.

Order of a request: id → Host → headers → Origin → key → route → body limits → handler. Whatever refuses it,
the answer has the error shape of its path.

How a protocol is written::

    @hookimpl
    def jackfield_protocols():
        return [ProtocolDescriptor(name="mine", summary="…", factory="my_package.mine:mount")]

    def mount(rail: Rail) -> ProtocolRoutes:
        @post("/mine/generate", opt=CONVERSATION)
        async def generate(request: Request[Any, Any, Any]) -> Response[Any]:
            body = convert(decode_json(await read_body(request)), MyBody)       # RequestError -> 400
            wanted = request_from(body, rail.identity(request))                 # your translation
            events = rail.service.generate(wanted)
            if body.stream:
                return await open_stream(rail, request, events, MyFrames(body))
            return json_response(answer_from(await collect(rail, request, events)))

        return ProtocolRoutes(handlers=[generate], errors=[ErrorSurface(prefixes=("/mine",), body=my_error)])

Raise errors of ``jackfield.errors`` anywhere; the surface turns them into status and body. Work other than
generations goes through ``while_connected(request, rail.service.embed(…))``, so that it ends with its client.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from litestar import HttpMethod, Litestar, Request, Response, route
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler, HTTPScope, Message, Receive, Scope, Send

from jackfield.host import Host
from jackfield.server.auth import KeyCheck, owner_of
from jackfield.server.bodies import decode_json, read_body
from jackfield.server.errors import ErrorSurface, ErrorSurfaces, WireError
from jackfield.server.guards import HostGuard, OriginGuard
from jackfield.server.limits import CONVERSATION, BoundedBody, check_headers
from jackfield.server.request_id import REQUEST_ID_HEADERS, assign_request_id, current_request_id
from jackfield.server.settings import ServerSettings
from jackfield.server.streaming import ClientGone, OpenStreams
from jackfield.service.contract import Service

__all__ = ["Identity", "ProtocolRoutes", "Rail", "SharedRoute", "build_app"]

log = logging.getLogger("jackfield.server")
access_log = logging.getLogger("jackfield.access")


@dataclass(frozen=True)
class Identity:
    """Who asks: the request's id, and a digest of the API key ("" where none is asked for)."""

    request_id: str
    owner: str


@dataclass(frozen=True)
class Rail:
    """What a protocol's factory is given."""

    settings: ServerSettings
    service: Service
    host: Host
    streams: OpenStreams = field(default_factory=OpenStreams)

    def identity(self, request: Request[Any, Any, Any]) -> Identity:
        """Return the id and the owner to put into a ``GenerationRequest``."""
        return Identity(current_request_id.get(), owner_of(request.scope))


@dataclass(frozen=True, kw_only=True)
class SharedRoute:
    """A handler for a path that several protocols serve.

    Attributes:
        claim: ``(decoded body, headers by lower-case name)`` to how sure this protocol is that the request is
            its own; the highest is called, and among equals the protocol registered first. 0 is "not mine".
        handler: ``(request, raw body)`` to the answer.
    """

    method: str
    path: str
    claim: Callable[[object, Mapping[str, str]], int]
    handler: Callable[[Request[Any, Any, Any], bytes], Awaitable[Response[Any]]]


@dataclass(frozen=True, kw_only=True)
class ProtocolRoutes:
    """What a protocol mounts.

    Attributes:
        handlers: Litestar handlers and routers. ``HEAD`` is answered wherever ``GET`` is.
        shared: Paths that other protocols may serve as well.
        errors: How errors look on this protocol's paths.
        fallback: Asked for an answer to a ``GET`` that no handler serves, before it becomes a 404.
    """

    handlers: Sequence[ControllerRouterHandler] = ()
    shared: Sequence[SharedRoute] = ()
    errors: Sequence[ErrorSurface] = ()
    fallback: Callable[[Request[Any, Any, Any]], Response[Any] | None] | None = None


class RailApp(Litestar):
    """A Litestar application that lets nothing reach its router unguarded."""

    rail: Rail
    surfaces: ErrorSurfaces

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection event; WebSockets are not spoken."""
        if scope["type"] == "http":
            await _Exchange(self, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket is served here"})

    async def route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a guarded request to the router."""
        await super().__call__(scope, receive, send)

    def guard_with(self, rail: Rail, surfaces: ErrorSurfaces) -> None:
        """Set what the exchanges check against."""
        self.rail = rail
        self.surfaces = surfaces
        self.host_guard = HostGuard(rail.settings)
        self.origin_guard = OriginGuard(rail.settings)
        self.key_check = KeyCheck(rail.settings.api_keys)


class _Exchange:
    """One request and its answer on their way through the layers."""

    def __init__(self, app: RailApp, scope: HTTPScope, receive: Receive, send: Send) -> None:
        self._app = app
        self._scope = cast("HTTPScope", {**scope, "state": dict(scope.get("state") or {})})
        self._is_head = scope["method"] == "HEAD"
        self._send = send
        self._body = BoundedBody(self._scope, receive, app.rail.settings.bodies)
        self._request_id = assign_request_id(scope)
        self._started_s = time.monotonic()
        self._status = 0
        self._num_bytes = 0

    async def run(self) -> None:
        try:
            if not await self._is_settled():
                if self._is_head:
                    self._scope["method"] = "GET"
                await self._app.route(self._scope, self._body.receive, self._answer)
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
        app, scope = self._app, self._scope
        app.host_guard.check(scope)
        check_headers(scope, app.rail.settings.bodies)
        app.origin_guard.check(scope)
        if app.origin_guard.is_preflight(scope):
            await self._reply(WireError(204, dict(app.origin_guard.preflight_headers(scope)), b""))
            return True
        app.key_check.check(scope)
        return False

    async def _refuse(self, error: Exception) -> None:
        await self._reply(self._app.surfaces.render(self._scope["path"], error))

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
        await self._send(message)

    def _extra_headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(name, self._request_id.encode("ascii")) for name in REQUEST_ID_HEADERS]
        headers.append((b"x-content-type-options", b"nosniff"))
        cors = self._app.origin_guard.cors_headers(self._scope)
        headers += [(name.encode("ascii"), value.encode("latin-1")) for name, value in cors.items()]
        if not self._body.is_complete:
            headers.append((b"connection", b"close"))
        return headers

    def _log_access(self) -> None:
        access_log.info(
            "%s %s %d %d bytes %.1f ms",
            "HEAD" if self._is_head else self._scope["method"],
            self._scope["path"],
            self._status,
            self._num_bytes,
            (time.monotonic() - self._started_s) * 1000,
        )


def build_app(settings: ServerSettings, service: Service, host: Host) -> RailApp:
    """Mount every protocol the host knows on one guarded application.

    The service is started and stopped by whoever runs the application (see ``jackfield.server.run``).

    Raises:
        DuplicateName: Two protocols serve one method of one path without sharing it.
        PluginImportError: A protocol's factory cannot be imported.
    """
    rail = Rail(settings=settings, service=service, host=host)
    mounted = [descriptor.load()(rail) for descriptor in host.protocols()]
    surfaces = ErrorSurfaces(surface for routes in mounted for surface in routes.errors)
    app = RailApp(
        [*(handler for routes in mounted for handler in routes.handlers), *_shared_handlers(mounted)],
        exception_handlers={Exception: _Refusals(surfaces, [r.fallback for r in mounted if r.fallback])},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
        state=State({"rail": rail}),
    )
    app.guard_with(rail, surfaces)
    return app


class _Refusals:
    """The application's one exception handler."""

    def __init__(
        self,
        surfaces: ErrorSurfaces,
        fallbacks: Sequence[Callable[[Request[Any, Any, Any]], Response[Any] | None]],
    ) -> None:
        self._surfaces = surfaces
        self._fallbacks = fallbacks

    def __call__(self, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        if isinstance(error, ClientGone):
            log.info("client left before the answer")
            return Response(b"", status_code=499)
        wire = self._surfaces.render(request.url.path, error)
        if wire.status == 404 and request.method == "GET" and "route_handler" not in request.scope:
            for fallback in self._fallbacks:
                if (page := fallback(request)) is not None:
                    return page
        return Response(
            wire.body,
            status_code=wire.status,
            headers={name: value for name, value in wire.headers.items() if name != "content-type"},
            media_type="application/json",
        )


def _shared_handlers(mounted: Sequence[ProtocolRoutes]) -> list[HTTPRouteHandler]:
    """Return one handler for each shared path, which asks every claim."""
    by_path: dict[tuple[str, str], list[SharedRoute]] = {}
    for routes in mounted:
        for shared in routes.shared:
            by_path.setdefault((shared.method, shared.path), []).append(shared)
    return [_shared_handler(method, path, candidates) for (method, path), candidates in by_path.items()]


def _shared_handler(method: str, path: str, candidates: Sequence[SharedRoute]) -> HTTPRouteHandler:
    async def dispatch(request: Request[Any, Any, Any]) -> Response[Any]:
        raw = await read_body(request)
        body = decode_json(raw)
        headers = {name.lower(): value for name, value in request.headers.items()}
        best = max(candidates, key=lambda shared: shared.claim(body, headers))
        return await best.handler(request, raw)

    return route(path, http_method=HttpMethod(method), opt=CONVERSATION, status_code=200)(dispatch)
