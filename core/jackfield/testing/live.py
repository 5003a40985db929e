"""A real server on a free port, in a thread: for tests that need sockets and unmodified clients."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from types import TracebackType

import uvicorn
from litestar import Litestar

__all__ = ["LiveServer"]

START_S = 10.0
TICK_S = 0.005


class _Server(uvicorn.Server):
    async def main_loop(self) -> None:
        """Look often whether to end: uvicorn looks ten times a second, and a test run ends hundreds of servers."""
        while not await self.on_tick(0):
            await asyncio.sleep(TICK_S)


class LiveServer:
    """Serve an application while the ``with`` block runs; ``url`` is where."""

    def __init__(self, app: Litestar) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="live-server", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def __enter__(self) -> LiveServer:
        self._thread.start()
        deadline_s = time.monotonic() + START_S
        while not self._server.started:
            if time.monotonic() > deadline_s or not self._thread.is_alive():
                raise RuntimeError("the test server did not start")
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(START_S)
        self._socket.close()
