"""A response in the making: events come in, the object grows, and each change can be told as an event.

A whole answer and a stream are the same draft; only the stream writes the changes down.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from jackfield.errors import CapacityError, JackfieldError, RequestError
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
    Usage,
)
from jackfield.service.requests import Message, ToolCall
from jackfield_protocols.openai.content import object_or_text
from jackfield_protocols.openai.frames import logprob_entries, noted
from jackfield_protocols.openai.responses.bodies import ResponsesBody

__all__ = ["Change", "ResponseDraft"]

Change: TypeAlias = tuple[str, dict[str, Any]]
"""An event's name and fields. The values go on changing: write them down at once."""


class ResponseDraft:
    """One response from its first event to its last.

    Attributes:
        response: The object as it is now.
    """

    def __init__(self, body: ResponsesBody) -> None:
        self.response = _new_response(body)
        self._is_summary = body.reasoning is not None and bool(
            body.reasoning.summary or body.reasoning.generate_summary
        )
        self._is_announced = False
        self._open: dict[str, Any] | None = None
        self._call_index = -1
        self._error: JackfieldError | None = None

    @property
    def error(self) -> JackfieldError | None:
        """What ended it, if an error did."""
        return self._error

    def take(self, event: Event) -> Iterator[Change]:
        """Take an event and yield what changes."""
        match event:
            case QueuePlace():
                yield from self._announce("queued")
                place = {"queue_position": event.position, "queue_pending": event.pending}
                yield "response.queued", {"response": self.response, **place}
            case Admitted():
                self.response["model"] = event.model
                yield from self._announce("in_progress")
                self.response["status"] = "in_progress"
                yield "response.in_progress", {"response": self.response}
            case TextDelta() if event.text or event.logprobs:
                yield from self._say(event.text, event.logprobs)
            case ThinkingDelta() if event.text:
                yield from self._think(event.text)
            case ToolCallDelta():
                yield from self._call(event.index, event.id, event.name, event.arguments)
            case ToolCallDone():
                yield from self._end_call(event)
            case Finished():
                yield from self._finish(event)
            case Failed():
                yield from self._fail(JackfieldError.from_record(event.error))
            case TextDelta() | ThinkingDelta() | CanvasPreview():
                return

    def as_message(self) -> Message:
        """Return the answer as a turn of a conversation."""
        items = self.response["output"]
        texts = [part["text"] for item in items if item["type"] == "message" for part in item["content"]]
        calls = [
            ToolCall(item["name"], object_or_text(item["arguments"]), item["call_id"])
            for item in items
            if item["type"] == "function_call"
        ]
        thoughts = [
            part["text"]
            for item in items
            if item["type"] == "reasoning"
            for part in item["content"] or item["summary"]
        ]
        return Message("assistant", "".join(texts), thinking="".join(thoughts) or None, tool_calls=calls)

    # ---- items ----

    def _announce(self, status: str) -> Iterator[Change]:
        if not self._is_announced:
            self._is_announced = True
            self.response["status"] = status
            yield "response.created", {"response": self.response}

    def _say(self, text: str, logprobs: Sequence[TokenLogprob]) -> Iterator[Change]:
        if self._open is None or self._open["type"] != "message":
            part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield from self._enter({"id": _id("msg"), "type": "message", "role": "assistant", "content": []})
            yield "response.content_part.added", {**self._place(), "content_index": 0, "part": part}
            self._opened()["content"].append(part)
        part = self._opened()["content"][0]
        entries = logprob_entries(logprobs)
        part["text"] += text
        part["logprobs"] += entries
        delta = {"content_index": 0, "delta": text, "logprobs": entries}
        yield "response.output_text.delta", {**self._place(), **delta}

    def _think(self, text: str) -> Iterator[Change]:
        if self._open is None or self._open["type"] != "reasoning":
            yield from self._enter({"id": _id("rs"), "type": "reasoning", "summary": [], "content": []})
            yield self._part_change("added", "")
            self._thoughts().append({"type": self._thought_kind(), "text": ""})
        self._thoughts()[0]["text"] += text
        yield self._text_change("delta", {"delta": text})

    def _call(self, index: int, call_id: str, name: str, arguments: str) -> Iterator[Change]:
        if name:
            self._call_index = index
            item = {"id": _id("fc"), "type": "function_call", "call_id": call_id, "name": name}
            yield from self._enter({**item, "arguments": ""})
        if arguments:
            self._opened()["arguments"] += arguments
            yield "response.function_call_arguments.delta", {**self._place(), "delta": arguments}

    def _end_call(self, event: ToolCallDone) -> Iterator[Change]:
        if self._call_index != event.index:  # it came in one piece
            arguments = msgspec.json.encode(event.arguments).decode()
            yield from self._call(event.index, event.id, event.name, arguments)
        yield from self._leave()

    def _enter(self, item: dict[str, Any]) -> Iterator[Change]:
        yield from self._leave()
        self._open = {**item, "status": "in_progress"}
        self.response["output"].append(self._open)
        yield "response.output_item.added", {"output_index": self._output_index(), "item": self._open}

    def _leave(self, status: str = "completed") -> Iterator[Change]:
        """Close the open item, part by part."""
        item = self._open
        if item is None:
            return
        match item["type"]:
            case "message":
                part = item["content"][0]
                whole = {"content_index": 0, "text": part["text"], "logprobs": part["logprobs"]}
                yield "response.output_text.done", {**self._place(), **whole}
                yield "response.content_part.done", {**self._place(), "content_index": 0, "part": part}
            case "reasoning":
                text = self._thoughts()[0]["text"]
                yield self._text_change("done", {"text": text})
                yield self._part_change("done", text)
            case _:
                whole = {"name": item["name"], "arguments": item["arguments"]}
                yield "response.function_call_arguments.done", {**self._place(), **whole}
        item["status"] = status
        yield "response.output_item.done", {"output_index": self._output_index(), "item": item}
        self._open = None

    # ---- where things are ----

    def _opened(self) -> dict[str, Any]:
        assert self._open is not None, "an item grows only while it is open"
        return self._open

    def _output_index(self) -> int:
        return len(self.response["output"]) - 1

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._opened()["id"], "output_index": self._output_index()}

    def _thoughts(self) -> list[dict[str, Any]]:
        thoughts: list[dict[str, Any]] = self._opened()["summary" if self._is_summary else "content"]
        return thoughts

    def _thought_kind(self) -> str:
        return "summary_text" if self._is_summary else "reasoning_text"

    def _part_change(self, what: str, text: str) -> Change:
        part = {"type": self._thought_kind(), "text": text}
        if self._is_summary:
            return f"response.reasoning_summary_part.{what}", {
                **self._place(),
                "summary_index": 0,
                "part": part,
            }
        return f"response.content_part.{what}", {**self._place(), "content_index": 0, "part": part}

    def _text_change(self, what: str, fields: dict[str, Any]) -> Change:
        if self._is_summary:
            return f"response.reasoning_summary_text.{what}", {**self._place(), "summary_index": 0, **fields}
        return f"response.reasoning_text.{what}", {**self._place(), "content_index": 0, **fields}

    # ---- endings ----

    def _finish(self, event: Finished) -> Iterator[Change]:
        is_cut = event.reason == "length"
        status = {"length": "incomplete", "cancelled": "cancelled"}.get(event.reason, "completed")
        yield from self._leave("incomplete" if is_cut else "completed")
        self.response |= noted([event.note])
        self.response["status"] = status
        self.response["completed_at"] = int(time.time()) if status == "completed" else None
        self.response["incomplete_details"] = {"reason": "max_output_tokens"} if is_cut else None
        self.response["usage"] = _usage(event.usage)
        yield f"response.{'incomplete' if is_cut else 'completed'}", {"response": self.response}

    def _fail(self, error: JackfieldError) -> Iterator[Change]:
        self._error = error
        yield from self._announce("failed")
        self.response["status"] = "failed"
        code = error.error_code if isinstance(error, RequestError | CapacityError) else "server_error"
        self.response["error"] = {"code": code, "message": error.message}
        yield "error", {"code": code, "message": error.message, "param": error.param}
        yield "response.failed", {"response": self.response}


def _id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(24)}"


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.num_prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.num_cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.num_completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.num_reasoning_tokens},
        "total_tokens": usage.num_prompt_tokens + usage.num_completion_tokens,
    }


def _new_response(body: ResponsesBody) -> dict[str, Any]:
    """Return the object as it begins: what was asked, and nothing answered yet."""
    reasoning = body.reasoning
    return {
        "id": _id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "model": body.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": reasoning.summary if reasoning else None,
        },
        "store": body.store is not False,
        "temperature": body.temperature if body.temperature is not None else 0.0,
        "text": {"format": (body.text.format if body.text else None) or {"type": "text"}},
        "tool_choice": body.tool_choice or "auto",
        "tools": body.tools or [],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p if body.top_p is not None else 1.0,
        "truncation": body.truncation or "disabled",
        "usage": None,
        "user": body.user,
        "metadata": body.metadata or {},
    }
