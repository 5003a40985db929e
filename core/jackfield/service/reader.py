"""The event loop's end of a stream."""

from __future__ import annotations

import asyncio

from jackfield.service.buffer import EventBuffer
from jackfield.service.events import Event, QueuePlace

__all__ = ["EventReader"]

REPEAT_S = 1.0
"""A queue place is told again so often, so that whoever waits sees that the server lives."""


class EventReader:
    """Wait for a stream's events; made and read on one event loop, filled from any thread."""

    def __init__(self, limit_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._place: QueuePlace | None = None
        self.buffer = EventBuffer(limit_bytes, self._wake)

    async def next(self) -> tuple[list[Event], bool]:
        """Return the next events, at least one, and whether the stream is over with them."""
        while True:
            self._ready.clear()
            events, is_over = self.buffer.take()
            if events or is_over:
                self._place = _place_at_end(events)
                return events, is_over
            if self._place is None:
                await self._ready.wait()
            elif not await self._is_ready_soon():
                return [self._place], False

    async def _is_ready_soon(self) -> bool:
        try:
            async with asyncio.timeout(REPEAT_S):
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop is closed: whoever read here is gone
            self.buffer.close()


def _place_at_end(events: list[Event]) -> QueuePlace | None:
    last = events[-1] if events else None
    return last if isinstance(last, QueuePlace) else None
