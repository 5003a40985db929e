"""Serving until told to stop, and then stopping well.

The first SIGTERM or SIGINT closes the listeners, lets running answers go on for ``drain_s``, ends the rest
with an error frame and exits with 0. A second one ends everything now and exits with 128 + its number.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable

from jackfield.errors import ConfigError
from jackfield.host import Host
from jackfield.server.app import RailApp, build_app
from jackfield.server.draining import DrainingServer
from jackfield.server.logs import configure_logging
from jackfield.server.settings import ServerSettings
from jackfield.service.contract import Service

__all__ = ["bind", "serve"]

log = logging.getLogger("jackfield.server")
SECOND_SIGNAL_S = 0.9
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    settings: ServerSettings,
    service: Service,
    host: Host,
    *,
    when_ready: Callable[[list[str]], None] | None = None,
) -> int:
    """Start the service, answer requests until a signal, and return the exit code.

    Nothing listens before the service is ready, so whoever can connect is served at full speed.

    Args:
        when_ready: Called with the URLs once they answer.

    Raises:
        ConfigError: A port is taken or may not be used.
        JackfieldError: The service did not start, or a protocol cannot be mounted.
    """
    configure_logging(level=settings.log_level, json_lines=settings.json_logs)
    sockets = bind(settings)
    try:
        return asyncio.run(_Run(settings, service, host, sockets, when_ready).main())
    finally:
        for listener in sockets:
            listener.close()


def bind(settings: ServerSettings) -> list[socket.socket]:
    """Reserve the ports without listening yet. Raises ``ConfigError`` when one cannot be had."""
    sockets: list[socket.socket] = []
    for port in (settings.port, *settings.extra_ports):
        try:
            sockets.append(_bound(settings.host, port))
        except OSError as error:
            for bound in sockets:
                bound.close()
            reason = error.strerror or str(error)
            raise ConfigError(
                f"cannot listen on {settings.host}:{port}: {reason}; choose another with --host or --port"
            ) from None
    return sockets


def _bound(host: str, port: int) -> socket.socket:
    name = host.strip("[]")
    family, kind, protocol, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


class _Run:
    """One run of the server, from start to exit code."""

    def __init__(
        self,
        settings: ServerSettings,
        service: Service,
        host: Host,
        sockets: list[socket.socket],
        when_ready: Callable[[list[str]], None] | None,
    ) -> None:
        self._settings = settings
        self._service = service
        self._host = host
        self._sockets = sockets
        self._when_ready = when_ready
        self._exit_code = 0
        self._asked = asyncio.Event()
        self._forced = asyncio.Event()
        self._server: DrainingServer | None = None

    async def main(self) -> int:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        starting = asyncio.ensure_future(self._service.start())
        # routes are mounted while the engine's process loads the model
        mounting = asyncio.ensure_future(
            asyncio.to_thread(build_app, self._settings, self._service, self._host)
        )
        if not await self._has_started(starting, mounting):
            return self._exit_code
        server = self._server = DrainingServer(mounting.result(), forced=self._forced)
        serving = asyncio.ensure_future(server.serve(sockets=self._sockets))
        announcing = asyncio.ensure_future(self._announce(server, serving))
        try:
            await serving
        except OSError as error:
            raise ConfigError(f"cannot listen: {error.strerror or error}; choose another --port") from None
        finally:
            announcing.cancel()
        return self._exit_code

    async def _has_started(self, starting: asyncio.Future[None], mounting: asyncio.Future[RailApp]) -> bool:
        """Wait for the service and its routes; a signal during a long load, or an error, abandons both."""
        parts = (mounting, starting)
        both = asyncio.ensure_future(asyncio.wait(parts, return_when=asyncio.FIRST_EXCEPTION))
        asked = asyncio.ensure_future(self._asked.wait())
        await asyncio.wait({both, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        errors = [part.exception() for part in parts if part.done()]
        if errors == [None, None] and not self._asked.is_set():
            return True
        starting.cancel()
        await asyncio.wait(parts, timeout=SECOND_SIGNAL_S)
        await self._service.stop(0.0)
        for error in filter(None, errors):
            raise error
        return False

    async def _announce(self, server: DrainingServer, serving: asyncio.Future[None]) -> None:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if self._when_ready is not None and server.started:
            host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
            self._when_ready([f"http://{host}:{listener.getsockname()[1]}" for listener in self._sockets])

    def _on_signal(self, number: int) -> None:
        if not self._asked.is_set():
            log.info("%s: finishing running answers, for at most %g s", _name(number), self._settings.drain_s)
            self._asked.set()
            if self._server is not None:
                self._server.should_exit = True
            return
        log.info("%s again: ending now", _name(number))
        self._exit_code = 128 + number
        self._forced.set()
        asyncio.get_running_loop().call_later(SECOND_SIGNAL_S, os._exit, self._exit_code)


def _name(number: int) -> str:
    return signal.Signals(number).name
