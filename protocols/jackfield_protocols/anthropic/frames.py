"""Events to Anthropic's shapes: blocks that open, grow and close, and whole messages."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

import msgspec

from jackfield.errors import JackfieldError
from jackfield.server import EVENT_STREAM, sse
from jackfield.service.events import (
    Admitted,
    CanvasPreview,
    Event,
    Failed,
    Finished,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallDone,
    Usage,
)
from jackfield_protocols.anthropic.errors import error_body

__all__ = ["MessageAnswer", "MessageEvents"]

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "cancelled": "end_turn"}


class MessageEvents:
    """Turns one request's events into Server-Sent Events named as Anthropic names them.

    Args:
        hides_thinking: ``thinking.display`` is "omitted": of a thought only its signature is sent.
    """

    media_type = EVENT_STREAM

    def __init__(self, *, hides_thinking: bool = False) -> None:
        self._hides_thinking = hides_thinking
        self._num_blocks = 0
        self._open: tuple[str, int] | None = None
        self._thought = hashlib.sha256()
        self._streamed_calls: set[int] = set()

    def render(self, event: Event) -> Iterator[bytes]:
        """Yield the frames of one event."""
        match event:
            case QueuePlace():
                yield _sse("ping", queue_position=event.position, queue_pending=event.pending)
            case Admitted():
                yield _sse("message_start", message=_started(event))
                yield _sse("ping")
            case TextDelta() if event.text:
                yield from self._enter("text", 0, {"text": ""})
                yield self._delta({"type": "text_delta", "text": event.text})
            case ThinkingDelta() if event.text:
                yield from self._enter("thinking", 0, {"thinking": "", "signature": ""})
                self._thought.update(event.text.encode())
                if not self._hides_thinking:
                    yield self._delta({"type": "thinking_delta", "thinking": event.text})
            case ToolCallDelta():
                yield from self._call_piece(event)
            case ToolCallDone():
                yield from self._call_end(event)
            case Finished():
                yield from self._leave()
                yield _sse("message_delta", delta=_ending(event), usage=_usage(event.usage))
            case Failed():
                yield _sse("error", **_failure(event))
            case TextDelta() | ThinkingDelta() | CanvasPreview():
                return

    def end(self) -> Iterator[bytes]:
        """Yield the last event."""
        yield _sse("message_stop")

    def heartbeat(self) -> bytes:
        """Return a ping, which clients skip."""
        return _sse("ping")

    def _call_piece(self, event: ToolCallDelta) -> Iterator[bytes]:
        if event.name:
            self._streamed_calls.add(event.index)
            yield from self._enter("tool_use", event.index, {"id": event.id, "name": event.name, "input": {}})
        if event.arguments:
            yield self._delta({"type": "input_json_delta", "partial_json": event.arguments})

    def _call_end(self, event: ToolCallDone) -> Iterator[bytes]:
        if event.index not in self._streamed_calls:  # it came in one piece
            yield from self._enter("tool_use", event.index, {"id": event.id, "name": event.name, "input": {}})
            arguments = msgspec.json.encode(event.arguments).decode()
            yield self._delta({"type": "input_json_delta", "partial_json": arguments})
        yield from self._leave()

    def _enter(self, kind: str, number: int, fields: dict[str, Any]) -> Iterator[bytes]:
        """Open a block, unless it is the open one."""
        if self._open == (kind, number):
            return
        yield from self._leave()
        self._open = (kind, number)
        self._thought = hashlib.sha256()
        yield _sse("content_block_start", index=self._num_blocks, content_block={"type": kind, **fields})

    def _leave(self) -> Iterator[bytes]:
        """Close the open block; a thought is signed first."""
        if self._open is None:
            return
        if self._open[0] == "thinking":
            yield self._delta({"type": "signature_delta", "signature": _signature(self._thought)})
        yield _sse("content_block_stop", index=self._num_blocks)
        self._open = None
        self._num_blocks += 1

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _sse("content_block_delta", index=self._num_blocks, delta=delta)


class MessageAnswer:
    """Gathers one request's events into a whole ``message``; see ``MessageEvents``."""

    def __init__(self, requested_model: str, *, hides_thinking: bool = False) -> None:
        self._model = requested_model
        self._hides_thinking = hides_thinking
        self._blocks: list[dict[str, Any]] = []
        self._end: Finished | None = None

    def take(self, event: Event) -> None:
        """Take an event.

        Raises:
            JackfieldError: The event is a failure.
        """
        match event:
            case Admitted():
                self._model = event.model
            case TextDelta():
                self._grow("text", event.text)
            case ThinkingDelta():
                self._grow("thinking", event.text)
            case ToolCallDone():
                call = {"type": "tool_use", "id": event.id, "name": event.name, "input": event.arguments}
                self._blocks.append(call)
            case Finished():
                self._end = event
            case Failed():
                raise JackfieldError.from_record(event.error)
            case QueuePlace() | ToolCallDelta() | CanvasPreview():
                return

    def body(self) -> dict[str, Any]:
        """Return the answer."""
        assert self._end is not None, "a collected stream has an end"
        usage = _usage(self._end.usage)
        return {**_message(self._model), "content": self._signed(), **_ending(self._end), "usage": usage}

    def _grow(self, kind: str, text: str) -> None:
        if not text:
            return
        if not self._blocks or self._blocks[-1]["type"] != kind:
            self._blocks.append({"type": kind, kind: ""})
        self._blocks[-1][kind] += text

    def _signed(self) -> list[dict[str, Any]]:
        return [self._sign(block) if block["type"] == "thinking" else block for block in self._blocks]

    def _sign(self, block: dict[str, Any]) -> dict[str, Any]:
        thought: str = block["thinking"]
        signature = _signature(hashlib.sha256(thought.encode()))
        return {**block, "thinking": "" if self._hides_thinking else thought, "signature": signature}


# ---- parts ---------------------------------------------------------------------------------------


def _sse(kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, **fields}, kind)


def _message(model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _started(event: Admitted) -> dict[str, Any]:
    usage = Usage(event.num_prompt_tokens, event.num_cached_tokens, 0)
    return {**_message(event.model), "usage": _usage(usage)}


def _ending(event: Finished) -> dict[str, Any]:
    note = {"note": event.note} if event.note else {}
    if event.stop_text is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": event.stop_text, **note}
    return {"stop_reason": STOP_REASONS[event.reason], "stop_sequence": None, **note}


def _usage(usage: Usage) -> dict[str, Any]:
    """Return the counts; ``input_tokens`` are those that were computed, as Anthropic counts them."""
    return {
        "input_tokens": usage.num_prompt_tokens - usage.num_cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.num_cached_tokens,
        "output_tokens": usage.num_completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.num_reasoning_tokens},
    }


def _signature(thought: Any) -> str:
    """Return something for clients that drop a thought without a signature; nobody checks it."""
    return base64.b64encode(thought.digest()).decode()


def _failure(event: Failed) -> dict[str, Any]:
    body = error_body(JackfieldError.from_record(event.error), 500)
    return {name: value for name, value in body.items() if name != "type"}
