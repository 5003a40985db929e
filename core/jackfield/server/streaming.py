"""From the service's events to bytes on the wire, for as long as somebody reads them.

The rail owns the stream: it waits for the first event before it chooses a status, notices a client that has
gone (in the queue, during prefill, between tokens), keeps the line alive, gives up on one that does not read,
and sees to it that exactly one ending is sent. The protocol says what each event looks like (``Frames``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from litestar import Request, Response
from litestar.types import Receive, Scope, Send

from jackfield.errors import JackfieldError
from jackfield.server.errors import presentable
from jackfield.server.reader import ClientGone, EventReader, OpenStreams, disconnection, while_connected
from jackfield.server.settings import StreamTimes
from jackfield.service.events import Event, Failed, QueuePlace

__all__ = ["ClientGone", "Frames", "collect", "open_stream", "while_connected"]

log = logging.getLogger("jackfield.server")
NO_CACHE = {"cache-control": "no-cache", "connection": "keep-alive", "x-accel-buffering": "no"}


class Frames(Protocol):
    """How one protocol writes a stream. One object per request; it may remember what it has written.

    Attributes:
        media_type: ``text/event-stream`` or ``application/x-ndjson``.
    """

    media_type: str

    def render(self, event: Event) -> Iterable[bytes]:
        """Return the frames of an event, none if the protocol has no word for it.

        ``Failed`` must give the protocol's whole ending; nothing is written after it.
        """
        ...

    def end(self) -> Iterable[bytes]:
        """Return what follows the last choice's ``Finished``: a usage chunk, ``[DONE]``, or nothing."""
        ...

    def heartbeat(self) -> bytes:
        """Return a frame that clients ignore: an SSE comment, or an NDJSON line with an empty delta."""
        ...


async def open_stream(
    rail: _HasStreams,
    request: Request[Any, Any, Any],
    events: AsyncIterator[Event],
    frames: Frames,
    *,
    num_choices: int = 1,
) -> Response[Any]:
    """Begin to answer with a stream.

    Returns once the status is known: on the first event that is not a ``QueuePlace``, or when the request
    has waited in the queue longer than the grace period, and then with its queue frames.

    Raises:
        JackfieldError: The request was refused before anything was sent.
        ClientGone: The client left before that.
    """
    reader = EventReader(events, request.receive, num_choices)
    try:
        first = await _first_events(reader, rail.settings.streams)
    except BaseException:
        await reader.aclose()
        raise
    return _StreamedResponse(_EventStream(rail, reader, frames, first))


async def collect(
    rail: _HasStreams,
    request: Request[Any, Any, Any],
    events: AsyncIterator[Event],
    *,
    num_choices: int = 1,
) -> list[Event]:
    """Return every event of a request that is answered in one piece.

    Raises:
        JackfieldError: What ended the request, as the service reported it.
        ClientGone: The client left; the generation has been cancelled.
    """
    collected: list[Event] = []
    async with aclosing(EventReader(events, request.receive, num_choices)) as reader:
        rail.streams.add(reader)
        try:
            while (event := await _next_of(reader)) is not None:
                collected.append(_unless_failed(event))
        finally:
            rail.streams.remove(reader)
    return collected


class _HasSettings(Protocol):
    @property
    def streams(self) -> StreamTimes: ...


class _HasStreams(Protocol):
    """The part of the rail a stream needs."""

    @property
    def settings(self) -> _HasSettings: ...

    @property
    def streams(self) -> OpenStreams: ...


class _EventStream:
    """An ASGI answer that writes frames until the one ending."""

    def __init__(
        self, rail: _HasStreams, reader: EventReader, frames: Frames, first: Sequence[Event]
    ) -> None:
        self._streams = rail.streams
        self._times = rail.settings.streams
        self._reader = reader
        self._frames = frames
        self._first = first
        self._written_s = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._streams.add(self._reader)
        try:
            async with aclosing(self._reader):
                await self._start(send)
                await self._write_all(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except ClientGone:
            log.info("client left during the stream")
        except TimeoutError:
            log.info("client read nothing for %.0f s, connection closed", self._times.stall_s)
            await _abort(scope, receive)
        finally:
            self._streams.remove(self._reader)

    async def _start(self, send: Send) -> None:
        headers = {"content-type": self._frames.media_type, **NO_CACHE}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        self._written_s = time.monotonic()

    async def _write_all(self, send: Send) -> None:
        for event in self._first:
            if await self._write_event(send, event):
                return
        while True:
            try:
                event_or_none = await self._reader.next(
                    self._written_s + self._times.heartbeat_s - time.monotonic()
                )
            except TimeoutError:
                await self._write(send, self._frames.heartbeat())
                continue
            if event_or_none is None:
                await self._write(send, b"".join(self._frames.end()))
                return
            if await self._write_event(send, event_or_none):
                return

    async def _write_event(self, send: Send, event: Event) -> bool:
        """Write one event; tell whether the stream ended with it."""
        try:
            data = b"".join(self._frames.render(event))
        except Exception as error:  # a protocol's mistake must not leave the client without an ending
            event = Failed(presentable(error).to_record())
            data = b"".join(self._frames.render(event))
        await self._write(send, data)
        return isinstance(event, Failed)

    async def _write(self, send: Send, data: bytes) -> None:
        if not data:
            return
        async with asyncio.timeout(self._times.stall_s):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        self._written_s = time.monotonic()


class _StreamedResponse(Response[Any]):
    """Hands an ASGI answer through the framework's response type."""

    def __init__(self, stream: _EventStream) -> None:
        super().__init__(content=None)
        self._stream = stream

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return the stream itself."""
        return self._stream


async def _first_events(reader: EventReader, times: StreamTimes) -> list[Event]:
    """Return the events that decide the status: one real event, or the latest queue place."""
    deadline_s: float | None = None
    place: Event | None = None
    while True:
        wait_s = times.stall_s if deadline_s is None else deadline_s - time.monotonic()
        try:
            event = await reader.next(wait_s)
        except TimeoutError:
            if place is None:
                continue
            return [place]
        if not isinstance(event, QueuePlace):
            return [_unless_failed(event)] if event is not None else []
        place = event
        deadline_s = deadline_s or time.monotonic() + times.queue_grace_s


async def _next_of(reader: EventReader) -> Event | None:
    while True:
        try:
            return await reader.next(3600.0)
        except TimeoutError:
            continue


def _unless_failed(event: Event) -> Event:
    if isinstance(event, Failed):
        raise JackfieldError.from_record(event.error)
    return event


async def _abort(scope: Scope, receive: Receive) -> None:
    """Drop a connection whose buffer nobody empties; closing it politely would wait for the client."""
    connection = scope["state"].get("connection")
    if connection is not None:
        connection.abort()
        await disconnection(receive)
