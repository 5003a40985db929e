"""Events as the page's server-sent events: one JSON object behind ``data: `` each, no ``[DONE]``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from jackfield.server import EVENT_STREAM, SSE_COMMENT, sse
from jackfield.service.events import (
    Admitted,
    CanvasPreview,
    Event,
    Failed,
    Finished,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    ToolCallDone,
)

__all__ = ["ChatFrames"]

NANOSECONDS = 1e9


class ChatFrames:
    """The frames of one chat. Tool calls come together, in one frame before the final one."""

    media_type = EVENT_STREAM

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._started_s = time.monotonic()
        self._num_prompt_tokens = 0
        self._num_cached_tokens = 0
        self._calls: list[dict[str, Any]] = []
        self._preview: CanvasPreview | None = None
        self._text: list[str] = []

    def render(self, event: Event) -> Iterable[bytes]:
        """Return the frames of one event."""
        match event:
            case QueuePlace():
                yield sse({"queue_position": event.position, "queue_pending": event.pending})
            case Admitted():
                self._num_prompt_tokens = event.num_prompt_tokens
                self._num_cached_tokens = event.num_cached_tokens
            case TextDelta():
                yield sse(self._text_frame(event.text))
            case ThinkingDelta():
                yield sse({"thinking": event.text})
            case CanvasPreview():
                self._preview = event
                yield sse(_replacement(event.text, event, is_preview=True))
            case ToolCallDone():
                self._calls.append({"name": event.name, "arguments": event.arguments})
            case Finished():
                yield from self._finished(event)
            case Failed():
                yield sse(self._summary(error=event.error.message))
            case _:
                return

    def end(self) -> Iterable[bytes]:
        """Add nothing: the ``done`` frame is the last."""
        return ()

    def heartbeat(self) -> bytes:
        """Return a comment."""
        return SSE_COMMENT

    def _text_frame(self, text: str) -> dict[str, Any]:
        """Return what shows new text: behind the old, or in place of a preview of all of it."""
        self._text.append(text)
        if self._preview is None:
            return {"token": text}
        return _replacement("".join(self._text), self._preview, is_preview=False)

    def _finished(self, event: Finished) -> Iterable[bytes]:
        if self._calls:
            yield sse({"tool_calls": self._calls})
        self._num_prompt_tokens = event.usage.num_prompt_tokens
        self._num_cached_tokens = event.usage.num_cached_tokens
        elapsed_s = (event.timings.total_ns - event.timings.queue_ns) / NANOSECONDS
        summary = self._summary(num_tokens=event.usage.num_completion_tokens, elapsed_s=elapsed_s)
        note = {"note": event.note} if event.note else {}
        yield sse({**summary, "aborted": event.reason == "cancelled", "finishReason": event.reason, **note})

    def _summary(
        self, *, num_tokens: int = 0, elapsed_s: float | None = None, error: str | None = None
    ) -> dict[str, Any]:
        elapsed_s = time.monotonic() - self._started_s if elapsed_s is None else elapsed_s
        reused = self._num_cached_tokens / self._num_prompt_tokens if self._num_prompt_tokens else 0.0
        return {
            "done": True,
            "tokenCount": num_tokens,
            "elapsed": round(elapsed_s, 3),
            "tokPerSec": round(num_tokens / elapsed_s, 2) if elapsed_s > 0 else 0.0,
            "aborted": False,
            "error": error,
            "sessionId": self._session_id,
            "promptTokens": self._num_prompt_tokens,
            "kvReusedTokens": self._num_cached_tokens,
            "kvReusePercent": round(100 * reused, 1),
        }


def _replacement(text: str, event: CanvasPreview, *, is_preview: bool) -> dict[str, Any]:
    return {
        "replace": text,
        "diffusionStep": event.step,
        "diffusionTotal": event.num_steps,
        "preview": is_preview,
    }
