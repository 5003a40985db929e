"""A server and clients on one event loop, down to the bytes: for tests of what happens on the wire."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from jackfield.server.app import RailApp
from jackfield.server.draining import DrainingServer

__all__ = ["Answer", "Census", "Client", "connect", "eventually", "request_bytes", "served"]

NO_LINGER = struct.pack("ii", 1, 0)


@dataclass
class Served:
    """A server that is up."""

    port: int
    server: DrainingServer
    forced: asyncio.Event


@asynccontextmanager
async def served(app: RailApp) -> AsyncGenerator[Served]:
    """Serve an application on a free port of the loopback interface."""
    listener = socket.create_server(("127.0.0.1", 0))
    forced = asyncio.Event()
    server = DrainingServer(app, forced=forced)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await eventually(lambda: server.started)
        yield Served(listener.getsockname()[1], server, forced)
    finally:
        server.should_exit = True
        await serving


async def eventually(condition: object, timeout_s: float = 5.0) -> None:
    """Wait until a callable returns something true. Raises ``TimeoutError``."""
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def request_bytes(
    method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return one HTTP/1.1 request; a ``body`` that is not bytes is sent as JSON."""
    payload = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    fields = {"host": "localhost", "content-length": str(len(payload)), **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + payload


@dataclass
class Answer:
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        """Return the decoded body."""
        return msgspec.json.decode(self.body)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and return the whole answer."""
        self.writer.write(request_bytes(method, path, body, headers))
        return await self.answer()

    async def answer(self) -> Answer:
        """Read one answer to its end."""
        status, headers = await self.head()
        if headers.get("transfer-encoding") == "chunked":
            parts = [part async for part in self.chunks()]
            return Answer(status, headers, b"".join(parts))
        return Answer(status, headers, await self.reader.readexactly(int(headers.get("content-length", "0"))))

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read a status line and headers."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the pieces of a streamed body; ends at its proper end, raises at any other."""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = await self.reader.readexactly(size + 2)
            if size == 0:
                return
            yield piece[:-2]

    def reset(self) -> None:
        """Drop the connection with RST, as a killed process on a bad network would."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.writer.transport.abort()

    def close(self) -> None:
        """Close the connection politely."""
        self.writer.close()


async def connect(port: int, *, receive_bytes: int | None = None) -> Client:
    """Open a connection; a small ``receive_bytes`` makes a reader that stalls the sender early."""
    raw = socket.socket()
    raw.setblocking(False)
    if receive_bytes is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    try:
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    except OSError:
        raw.close()
        raise
    limit = receive_bytes or 2**20
    return Client(*await asyncio.open_connection(sock=raw, limit=limit))


@dataclass(frozen=True)
class Census:
    """What this process holds: compared before and after, nothing may be left."""

    num_tasks: int
    num_files: int
    num_threads: int

    @classmethod
    def take(cls) -> Census:
        """Count now."""
        num_files = len(os.listdir("/proc/self/fd"))
        return cls(len(asyncio.all_tasks()), num_files, threading.active_count())
