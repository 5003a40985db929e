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

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from litestar import HttpMethod, Litestar, Request, Response, route
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.plugins import PluginProtocol

from jackfield.errors import JackfieldError
from jackfield.host import Host
from jackfield.server.bodies import decode_json, read_body
from jackfield.server.errors import ErrorSurfaces
from jackfield.server.exchange import Exchange, Layers
from jackfield.server.health import health_handlers
from jackfield.server.limits import CONVERSATION
from jackfield.server.rail import ProtocolRoutes, Rail, SharedRoute
from jackfield.server.reader import ClientGone
from jackfield.server.settings import ServerSettings
from jackfield.server.uploads import UploadStore
from jackfield.service.contract import Service

__all__ = ["RailApp", "build_app"]

log = logging.getLogger("jackfield.server")
access_log = logging.getLogger("jackfield.access")
SWEEP_S = 300.0


class RailApp(Litestar):
    """A Litestar application that lets nothing reach its router unguarded."""

    layers: Layers

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        # bodies are msgspec's alone; those for pydantic and attrs cost a fifth of a second where these are installed
        return plugins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection event; WebSockets are not spoken."""
        if scope["type"] == "http":
            await Exchange(self.layers, super().__call__, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket is served here"})


def build_app(settings: ServerSettings, service: Service, host: Host) -> RailApp:
    """Mount every protocol the host knows on one guarded application.

    The service is started and stopped by whoever runs the application (see ``jackfield.server.run``).

    Raises:
        DuplicateName: Two protocols serve one method of one path without sharing it.
        PluginError: A protocol of a plugin that was asked for by name cannot be mounted.
    """
    uploads = UploadStore(settings.uploads, settings.bodies.upload_bytes)
    rail = Rail(settings=settings, service=service, host=host, uploads=uploads)
    mounted = list(_mounted(rail, host))
    surfaces = ErrorSurfaces(surface for routes in mounted for surface in routes.errors)
    app = RailApp(
        [
            *health_handlers(rail),
            *(handler for routes in mounted for handler in routes.handlers),
            *_shared_handlers(mounted),
        ],
        lifespan=[lambda _app: _kept_uploads(uploads)],
        exception_handlers={Exception: _Refusals(surfaces, [r.fallback for r in mounted if r.fallback])},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
        state=State({"rail": rail}),
    )
    app.layers = Layers(rail, surfaces)
    return app


def _mounted(rail: Rail, host: Host) -> Iterator[ProtocolRoutes]:
    for descriptor in host.protocols():
        try:
            yield descriptor.make(rail)
        except JackfieldError as error:
            host.leave_out("protocol", descriptor, error)


@asynccontextmanager
async def _kept_uploads(uploads: UploadStore) -> AsyncGenerator[None]:
    """Sweep expired uploads now and then, and remove all at the end."""
    uploads.open()
    sweeping = asyncio.ensure_future(_sweep_for_ever(uploads))
    try:
        yield
    finally:
        sweeping.cancel()
        uploads.close()


async def _sweep_for_ever(uploads: UploadStore) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        uploads.sweep()


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
