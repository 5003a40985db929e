"""uvicorn's server, made to end well: its own way of stopping never ends while a stream is open."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn

from jackfield.errors import Unavailable
from jackfield.server.app import RailApp
from jackfield.server.connection import connection_class
from jackfield.server.settings import ServerSettings

__all__ = ["DrainingServer"]

log = logging.getLogger("jackfield.server")
LAST_WRITES_S = 0.5
MARGIN_S = 5.0


class DrainingServer(uvicorn.Server):
    """uvicorn's server with our way of stopping.

    Args:
        app: What it serves; its rail's service is stopped with it.
        forced: Set by whoever cannot wait for the drain to end.
    """

    def __init__(self, app: RailApp, *, forced: asyncio.Event) -> None:
        self._rail = app.layers.rail
        super().__init__(_config(app, self._rail.settings))
        self._forced = forced

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to whoever runs this server."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, drain, end what is left, then run the shutdown hooks once."""
        for listening in self.servers:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._drain()
        self._rail.streams.end_all(Unavailable("the server is shutting down", retry_after_s=5))
        await self._wait_for_connections(LAST_WRITES_S)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self._wait_for_connections(LAST_WRITES_S)
        await self.lifespan.shutdown()

    async def _drain(self) -> None:
        drain_s = self._rail.settings.drain_s
        stopping = asyncio.ensure_future(self._rail.service.stop(drain_s))
        forced = asyncio.ensure_future(self._forced.wait())
        await asyncio.wait(
            {stopping, forced}, timeout=drain_s + MARGIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        forced.cancel()
        if not stopping.done():
            stopping.cancel()
            await asyncio.wait({stopping}, timeout=0.1)
            await asyncio.wait({asyncio.ensure_future(self._rail.service.stop(0.0))}, timeout=LAST_WRITES_S)
        elif (error := stopping.exception()) is not None:
            log.error("stopping the engine failed", exc_info=error)

    async def _wait_for_connections(self, timeout_s: float) -> None:
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while self.server_state.connections and asyncio.get_running_loop().time() < deadline_s:
            await asyncio.sleep(0.01)


def _config(app: RailApp, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connection_class(settings.bodies.header_arrival_s),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=settings.bodies.header_bytes,
    )
