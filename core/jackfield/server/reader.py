"""Taking events from the service while watching the connection they are for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, TypeVar

from litestar import Request
from litestar.types import Receive

from jackfield.errors import JackfieldError, Unavailable
from jackfield.server.errors import presentable
from jackfield.service.events import Event, Failed, Finished

__all__ = ["ClientGone", "EventReader", "OpenStreams", "disconnection", "while_connected"]

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed the connection; there is nobody left to answer."""


class OpenStreams:
    """The streams being written now, so that a stopping server can end them."""

    def __init__(self) -> None:
        self._readers: set[EventReader] = set()

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, reader: EventReader) -> None:
        """Count a stream in."""
        self._readers.add(reader)

    def remove(self, reader: EventReader) -> None:
        """Count a stream out."""
        self._readers.discard(reader)

    def end_all(self, error: JackfieldError) -> None:
        """End every stream with an error frame at its next step."""
        for reader in list(self._readers):
            reader.end_with(error)


class EventReader:
    """Takes events one by one while watching the connection."""

    def __init__(self, events: AsyncIterator[Event], receive: Receive, num_choices: int) -> None:
        self._events = _until_ending(events, num_choices)
        self._gone = asyncio.ensure_future(disconnection(receive))
        self._ended: asyncio.Future[JackfieldError] = asyncio.get_running_loop().create_future()
        self._next: asyncio.Task[Event | None] | None = None

    async def next(self, timeout_s: float) -> Event | None:
        """Return the next event; ``None`` after the last.

        Raises:
            ClientGone: The connection was closed, even if an event is ready as well.
            TimeoutError: Nothing came in time; nothing is lost, ask again.
        """
        self._next = self._next or asyncio.ensure_future(anext(self._events, None))
        waiting: set[asyncio.Future[Any]] = {self._next, self._gone, self._ended}
        await asyncio.wait(waiting, timeout=max(timeout_s, 0.0), return_when=asyncio.FIRST_COMPLETED)
        if self._gone.done():
            raise ClientGone
        if self._next.done():
            task, self._next = self._next, None
            return task.result()
        if self._ended.done():
            return Failed(self._ended.result().to_record())
        raise TimeoutError

    def end_with(self, error: JackfieldError) -> None:
        """Make the stream end with that error instead of what would come."""
        if not self._ended.done():
            self._ended.set_result(error)

    async def aclose(self) -> None:
        """Stop watching and cancel whatever still generates."""
        self._gone.cancel()
        self._ended.cancel()
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})
        await self._events.aclose()


async def while_connected(request: Request[Any, Any, Any], work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``, and cancel it when the client leaves. Raises ``ClientGone`` then."""
    gone = asyncio.ensure_future(disconnection(request.receive))
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({gone, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _until_ending(events: AsyncIterator[Event], num_choices: int) -> AsyncGenerator[Event, None]:
    """Pass events on up to the ending, and supply one where the service did not."""
    num_open = num_choices
    error: JackfieldError = Unavailable("the generation stopped without a result; send the request again")
    try:
        async for event in events:
            yield event
            num_open -= isinstance(event, Finished)
            if isinstance(event, Failed) or num_open == 0:
                return
    except Exception as raised:
        error = presentable(raised)
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
    yield Failed(error.to_record())


async def disconnection(receive: Receive) -> None:
    """Return once the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        await asyncio.sleep(0)
