"""A draft's changes as Server-Sent Events, numbered in order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from jackfield.server import EVENT_STREAM, SSE_COMMENT, sse
from jackfield.service.events import Event, Finished
from jackfield_protocols.openai.responses.draft import ResponseDraft

__all__ = ["ResponseEvents"]


class ResponseEvents:
    """Writes a draft down while it grows.

    Args:
        on_whole: Called once when the response is whole, before its last event is written.
    """

    media_type = EVENT_STREAM

    def __init__(self, draft: ResponseDraft, on_whole: Callable[[], None] = lambda: None) -> None:
        self._draft = draft
        self._on_whole = on_whole
        self._numbers = itertools.count()

    def render(self, event: Event) -> Iterator[bytes]:
        """Yield the frames of one event."""
        for name, fields in self._draft.take(event):
            yield self._frame(name, fields)
        if isinstance(event, Finished):
            self._on_whole()

    def end(self) -> Iterator[bytes]:
        """Return what follows the last event: nothing."""
        return iter(())

    def heartbeat(self) -> bytes:
        """Return a comment, which clients skip."""
        return SSE_COMMENT

    def _frame(self, name: str, fields: dict[str, Any]) -> bytes:
        return sse({"type": name, "sequence_number": next(self._numbers), **fields}, name)
