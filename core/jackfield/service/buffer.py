"""Events of one stream on their way from the engine to a reader that may be slow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from jackfield.service.events import (
    Event,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)

__all__ = ["EventBuffer"]

MERGED_BYTES = 16 << 10
"""A delta grows to about this size while nobody reads; then the next one begins."""

EVENT_BYTES = 64
LOGPROB_BYTES = 96


class EventBuffer:
    """Keep a stream's unread events; safe between one writer thread and one reader thread.

    While nobody reads, deltas of one kind merge and a queue place replaces the one before it, so a slow
    reader gets fewer and longer events.

    Args:
        limit_bytes: Unread bytes above which the buffer is full.
        on_ready: Called by the writer's thread whenever the buffer was empty and now is not.

    Attributes:
        on_change: Called without the buffer's lock whenever it became full, or stopped to be; a writer that
            can pause sets it.
    """

    def __init__(self, limit_bytes: int, on_ready: Callable[[], None]) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._limit_bytes = limit_bytes
        self._on_ready = on_ready
        self._events: deque[Event] = deque()
        self._num_bytes = 0
        self._lock = threading.Lock()
        self._is_over = False

    def put(self, event: Event, *, is_last: bool = False) -> None:
        """Add an event.

        After the last one, or after ``close``, events are dropped: the stream is over and nobody waits.
        """
        with self._lock:
            if self._is_over:
                return
            was_empty, was_full = not self._events, self.is_full
            self._append(event)
            self._is_over = is_last
            has_filled = self.is_full and not was_full
        if was_empty:
            self._on_ready()
        if has_filled:
            self.on_change()

    def take(self) -> tuple[list[Event], bool]:
        """Return all unread events, oldest first, and whether the stream is over with them."""
        with self._lock:
            taken, is_over, was_full = list(self._events), self._is_over, self.is_full
            self._events.clear()
            self._num_bytes = 0
        if was_full:
            self.on_change()
        return taken, is_over

    def close(self) -> None:
        """Drop what is unread and whatever still comes: nobody reads any more."""
        with self._lock:
            self._is_over = True
            self._events.clear()
            self._num_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether more is unread than the limit allows; then the writer should pause."""
        return self._num_bytes > self._limit_bytes

    def _append(self, event: Event) -> None:
        merged = _merge(self._events[-1], event) if self._events else None
        if merged is None:
            self._events.append(event)
            self._num_bytes += _size(event)
        else:
            self._num_bytes += _size(merged) - _size(self._events[-1])
            self._events[-1] = merged


def _merge(last: Event, event: Event) -> Event | None:
    """Return the two as one event, or ``None`` when they must stay apart."""
    if isinstance(last, QueuePlace) and isinstance(event, QueuePlace):
        return event
    if isinstance(last, TextDelta) and isinstance(event, TextDelta):
        return _merge_texts(last, event)
    if isinstance(last, ThinkingDelta) and isinstance(event, ThinkingDelta):
        return _merge_thoughts(last, event)
    if isinstance(last, ToolCallDelta) and isinstance(event, ToolCallDelta):
        return _merge_arguments(last, event)
    return None


def _merge_texts(last: TextDelta, event: TextDelta) -> TextDelta | None:
    if last.choice != event.choice or _size(last) > MERGED_BYTES:
        return None
    return replace(last, text=last.text + event.text, logprobs=[*last.logprobs, *event.logprobs])


def _merge_thoughts(last: ThinkingDelta, event: ThinkingDelta) -> ThinkingDelta | None:
    if last.choice != event.choice or _size(last) > MERGED_BYTES:
        return None
    return replace(last, text=last.text + event.text, logprobs=[*last.logprobs, *event.logprobs])


def _merge_arguments(last: ToolCallDelta, event: ToolCallDelta) -> ToolCallDelta | None:
    is_same_call = (last.choice, last.index) == (event.choice, event.index) and not event.name
    if not is_same_call or _size(last) > MERGED_BYTES:
        return None
    return replace(last, arguments=last.arguments + event.arguments)


def _size(event: Event) -> int:
    if isinstance(event, TextDelta | ThinkingDelta):
        return (
            EVENT_BYTES
            + len(event.text)
            + sum(LOGPROB_BYTES * (1 + len(logprob.top)) for logprob in event.logprobs)
        )
    if isinstance(event, ToolCallDelta):
        return EVENT_BYTES + len(event.arguments)
    return EVENT_BYTES
