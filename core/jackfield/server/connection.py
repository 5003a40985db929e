"""One HTTP/1.1 connection: uvicorn's, with a deadline for headers and a way to drop a client that stalls."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from jackfield.server.limits import LINGER_S

__all__ = ["Connection", "connection_class"]


class Connection(H11Protocol):
    """Adds to each request's scope, under ``state["connection"]``, the connection itself."""

    header_arrival_s: ClassVar[float] = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request's headers."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "connection": self}
        self._headers_due: asyncio.TimerHandle | None = None
        self._is_refused = False
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._headers_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Watch that a request's headers do not take for ever, on a reused connection as well."""
        if self._is_refused:
            return
        if not self._is_answering() and self._headers_due is None:
            self._expect_headers()
        super().data_received(data)
        if self._is_answering():
            self._headers_arrived()

    def abort(self) -> None:
        """Drop the connection and whatever is still buffered for it."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or has too long a head, in JSON like everything else."""
        body = b'{"error":"the request is not valid HTTP/1.1, or its headers are too long"}'
        if self.conn.our_state is not h11.IDLE and self.conn.our_state is not h11.SEND_RESPONSE:
            self.transport.close()
            return
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        headers.append((b"content-length", str(len(body)).encode()))
        start = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            data: bytes | None = self.conn.send(event)
            self.transport.write(data or b"")
        # closing with bytes unread would reset the connection, and take back what was answered
        self._is_refused = True
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _is_answering(self) -> bool:
        # before the first request uvicorn has no cycle, whatever its annotation says
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _expect_headers(self) -> None:
        self._headers_due = self.loop.call_later(self.header_arrival_s, self._give_up)

    def _headers_arrived(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _give_up(self) -> None:
        self._headers_due = None
        if not self._is_answering():
            self.transport.close()


def connection_class(arrival_s: float) -> type[Connection]:
    """Return the connection class with that header deadline; the server makes instances by itself."""
    return type("Connection", (Connection,), {"header_arrival_s": arrival_s})
