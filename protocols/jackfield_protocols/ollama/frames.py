"""Events to Ollama's shapes: one JSON object a line, and whole answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from jackfield.errors import JackfieldError
from jackfield.service.events import (
    Admitted,
    CanvasPreview,
    Event,
    Failed,
    Finished,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallDone,
)

__all__ = ["Answer", "Dialect", "Lines", "chat_dialect", "generate_dialect", "now", "timestamp"]


def now() -> str:
    """Return this moment as Ollama writes it."""
    return timestamp(datetime.now(UTC).timestamp())


def timestamp(unix_s: float) -> str:
    """Return a moment in ISO 8601, UTC, to the microsecond."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Dialect(msgspec.Struct, frozen=True):
    """Where an endpoint puts text, and how it ends a turn of tool calls.

    Attributes:
        part: ``(text, thinking, calls)`` to the fields of a frame.
        calls_on_last_frame: The last frame of a stream carries the tool calls, instead of a frame before it.
        tool_calls_reason: ``done_reason`` of a turn that ends in tool calls.
    """

    part: Callable[[str, str, list[dict[str, Any]]], dict[str, Any]]
    calls_on_last_frame: bool
    tool_calls_reason: str


def generate_dialect() -> Dialect:
    """Return the dialect of ``/api/generate``."""
    return Dialect(_generate_part, calls_on_last_frame=True, tool_calls_reason="stop")


def chat_dialect(*, native: bool) -> Dialect:
    """Return the dialect of a chat: Ollama's own, ``/api/chat``, or the contract's, ``/api/chat/ollama``."""
    if native:
        return Dialect(_message_part, calls_on_last_frame=False, tool_calls_reason="stop")
    return Dialect(_message_part, calls_on_last_frame=True, tool_calls_reason="tool_calls")


def _generate_part(text: str, thinking: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    part: dict[str, Any] = {"response": text}
    if thinking:
        part["thinking"] = thinking
    if calls:
        part["tool_calls"] = calls
    return part


def _message_part(text: str, thinking: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thinking:
        message["thinking"] = thinking
    if calls:
        message["tool_calls"] = calls
    return {"message": message}


class Lines:
    """Turns one request's events into NDJSON lines."""

    media_type = "application/x-ndjson"

    def __init__(self, requested_model: str, dialect: Dialect) -> None:
        self._model = requested_model
        self._dialect = dialect
        self._calls: list[dict[str, Any]] = []

    def render(self, event: Event) -> Iterator[bytes]:
        """Yield the lines of one event."""
        match event:
            case QueuePlace():
                places = {"queue_position": event.position, "queue_pending": event.pending}
                yield self._line(self._dialect.part("", "", []), done=False, **places)
            case Admitted():
                self._model = event.model
            case TextDelta():
                yield self._line(
                    self._dialect.part(event.text, "", []), done=False, **_logprobs(event.logprobs)
                )
            case ThinkingDelta():
                yield self._line(
                    self._dialect.part("", event.text, []), done=False, **_logprobs(event.logprobs)
                )
            case ToolCallDone():
                yield from self._call(event)
            case Finished():
                last = self._calls if self._dialect.calls_on_last_frame else []
                yield self._line(self._dialect.part("", "", last), done=True, **ending(event, self._dialect))
            case Failed():
                message = JackfieldError.from_record(event.error).message
                yield self._line(
                    self._dialect.part("", "", []), done=True, done_reason="error", error=message
                )
            case ToolCallDelta() | CanvasPreview():
                return

    def end(self) -> Iterator[bytes]:
        """Return what follows the last line: nothing."""
        return iter(())

    def heartbeat(self) -> bytes:
        """Return a line that says nothing: an empty piece, which clients add harmlessly."""
        return self._line(self._dialect.part("", "", []), done=False)

    def _call(self, event: ToolCallDone) -> Iterator[bytes]:
        self._calls.append(call_body(event))
        if not self._dialect.calls_on_last_frame:
            yield self._line(self._dialect.part("", "", [call_body(event)]), done=False)

    def _line(self, part: dict[str, Any], *, done: bool, **extra: Any) -> bytes:
        frame = {"model": self._model, "created_at": now(), **part, "done": done, **extra}
        return msgspec.json.encode(frame) + b"\n"


class Answer:
    """Gathers one request's events into a whole answer."""

    def __init__(self, requested_model: str, dialect: Dialect) -> None:
        self._model = requested_model
        self._dialect = dialect
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._logprobs: list[TokenLogprob] = []
        self._end: dict[str, Any] = {}

    def take(self, event: Event) -> None:
        """Take an event.

        Raises:
            JackfieldError: The event is a failure.
        """
        match event:
            case Admitted():
                self._model = event.model
            case TextDelta():
                self._text.append(event.text)
                self._logprobs.extend(event.logprobs)
            case ThinkingDelta():
                self._thinking.append(event.text)
                self._logprobs.extend(event.logprobs)
            case ToolCallDone():
                self._calls.append(call_body(event))
            case Finished():
                self._end = ending(event, self._dialect)
            case Failed():
                raise JackfieldError.from_record(event.error)
            case QueuePlace() | ToolCallDelta() | CanvasPreview():
                return

    def body(self) -> dict[str, Any]:
        """Return the answer."""
        part = self._dialect.part("".join(self._text), "".join(self._thinking), self._calls)
        return {
            "model": self._model,
            "created_at": now(),
            **part,
            "done": True,
            **_logprobs(self._logprobs),
            **self._end,
        }


def call_body(call: ToolCallDone) -> dict[str, Any]:
    """Return a tool call; its arguments are an object here, not a text."""
    return {
        "id": call.id,
        "function": {"index": call.index, "name": call.name, "arguments": call.arguments},
    }


def ending(event: Finished, dialect: Dialect) -> dict[str, Any]:
    """Return the fields of the last frame: reason, counts, and durations in nanoseconds."""
    usage, timings = event.usage, event.timings
    reason = {"tool_calls": dialect.tool_calls_reason, "cancelled": "stop"}.get(event.reason, event.reason)
    end: dict[str, Any] = {
        "done_reason": reason,
        "total_duration": timings.total_ns,
        "load_duration": timings.load_ns,
        "prompt_eval_count": usage.num_prompt_tokens,
        "prompt_eval_duration": timings.prefill_ns,
        "eval_count": usage.num_completion_tokens,
        "eval_duration": timings.decode_ns,
        "prompt_cache_hit_tokens": usage.num_cached_tokens,
        "prompt_cache_hit_ratio": round(usage.num_cached_tokens / max(1, usage.num_prompt_tokens), 4),
    }
    if event.tokens:
        end["context"] = event.tokens
    if event.note:
        end["note"] = event.note
    return end


def _logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    if not logprobs:
        return {}
    entries = [
        {
            "token": item.text,
            "logprob": item.logprob,
            "bytes": item.bytes_,
            "top_logprobs": [
                {"token": text, "logprob": logprob, "bytes": data} for _, text, data, logprob in item.top
            ],
        }
        for item in logprobs
    ]
    return {"logprobs": entries}
