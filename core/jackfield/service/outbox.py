"""What an engine's process has to say, written by one thread so that no other ever waits for the pipe."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable

from jackfield.errors import JackfieldError
from jackfield.service.buffer import EventBuffer
from jackfield.service.events import Failed
from jackfield.service.frames import Beat, Events, Report, encode_frame

__all__ = ["Outbox"]

log = logging.getLogger("jackfield.service")


class Outbox:
    """Write reports and streams to a pipe. ``send``, ``add`` and the like are safe from any thread.

    While the pipe is full, a stream's events wait in its own buffer, which merges them and pauses the engine
    when it is full. Of several beats only the latest is written.

    Args:
        descriptor: The pipe's end to write to.
        on_broken: Called once by the writing thread when the other side is gone.

    Attributes:
        on_stream_over: Called by the writing thread with each stream whose last event is written.
    """

    def __init__(self, descriptor: int, on_broken: Callable[[], None]) -> None:
        self.on_stream_over: Callable[[int], None] = lambda stream: None
        self._descriptor = descriptor
        self._on_broken = on_broken
        self._signal = threading.Condition()
        self._reports: deque[Report] = deque()
        self._beat: Beat | None = None
        self._streams: dict[int, EventBuffer] = {}
        self._ready: dict[int, None] = {}
        self._held: set[int] = set()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="jackfield-outbox", daemon=True)
        self._thread.start()

    def send(self, report: Report) -> None:
        """Queue a report."""
        with self._signal:
            if isinstance(report, Beat):
                self._beat = report
            else:
                self._reports.append(report)
            self._signal.notify()

    def open_stream(self, stream: int, limit_bytes: int) -> EventBuffer:
        """Return a buffer whose events are written as they come."""
        buffer = EventBuffer(limit_bytes, lambda: self._wake(stream))
        with self._signal:
            self._streams[stream] = buffer
        return buffer

    def drop_stream(self, stream: int) -> None:
        """Write nothing more of that stream."""
        with self._signal:
            buffer = self._streams.pop(stream, None)
            self._ready.pop(stream, None)
            self._held.discard(stream)
        if buffer is not None:
            buffer.close()

    def hold(self, stream: int) -> None:
        """Let a stream's events wait."""
        with self._signal:
            self._held.add(stream)

    def resume(self, stream: int) -> None:
        """Write a held stream's events again."""
        with self._signal:
            self._held.discard(stream)
            self._signal.notify()

    def close(self, timeout_s: float) -> None:
        """Write what is queued, held streams too, and end the thread."""
        with self._signal:
            self._is_closing = True
            self._held.clear()
            self._signal.notify()
        self._thread.join(timeout_s)

    def _wake(self, stream: int) -> None:
        with self._signal:
            if stream in self._streams:
                self._ready[stream] = None
                self._signal.notify()

    # ---- the writing thread ----

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                _write_all(self._descriptor, b"".join(map(_encoded, batch)))
        except OSError:
            self._on_broken()

    def _next_batch(self) -> list[Report] | None:
        """Wait for something to write; ``None`` at the end."""
        with self._signal:
            while not (self._reports or self._beat or self._writable()):
                if self._is_closing:
                    return None
                self._signal.wait()
            batch = list(self._reports)
            self._reports.clear()
            if self._beat is not None:
                batch.append(self._beat)
                self._beat = None
            taken = [(stream, self._streams[stream]) for stream in self._writable()]
            for stream, _ in taken:
                del self._ready[stream]
        return batch + [report for stream, buffer in taken if (report := self._take(stream, buffer))]

    def _writable(self) -> list[int]:
        return [stream for stream in self._ready if stream not in self._held]

    def _take(self, stream: int, buffer: EventBuffer) -> Events | None:
        events, is_over = buffer.take()
        if is_over:
            with self._signal:
                self._streams.pop(stream, None)
            self.on_stream_over(stream)
        return Events(stream, events, is_over) if events or is_over else None


def _encoded(report: Report) -> bytes:
    """Return the report's frame; an answer that cannot be written fails, and no other with it."""
    try:
        return encode_frame(report)
    except Exception:
        log.exception("a report of the engine cannot be written")
        if not isinstance(report, Events):
            return b""
        failure = JackfieldError("the answer cannot be passed on; the log has the cause").to_record()
        return encode_frame(Events(report.stream, [Failed(failure)], is_over=True))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
