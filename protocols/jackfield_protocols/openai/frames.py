"""Events to OpenAI's shapes: streamed chunks and whole answers."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from jackfield import __version__
from jackfield.errors import JackfieldError
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
    TokenLogprob,
    ToolCallDelta,
    ToolCallDone,
    Usage,
)
from jackfield.service.status import ModelInfo
from jackfield_protocols.openai.errors import error_body

__all__ = [
    "DONE",
    "ChatAnswer",
    "ChatChunks",
    "fingerprint_of",
    "finish_reason",
    "new_id",
    "noted",
    "usage_body",
]

DONE = b"data: [DONE]\n\n"


def new_id(prefix: str) -> str:
    """Return a fresh id of 30 characters, such as ``chatcmpl-…``."""
    return f"{prefix}-{secrets.token_hex(16)}"[:30]


def fingerprint_of(model: ModelInfo) -> str:
    """Return ``system_fingerprint``: equal ones with equal seeds give equal answers."""
    return f"fp_{hashlib.sha256(f'{__version__} {model.digest} {model.backend}'.encode()).hexdigest()[:10]}"


def usage_body(usages: Sequence[Usage]) -> dict[str, Any]:
    """Return ``usage`` of all choices together; the prompt counts once."""
    prompt = usages[0].num_prompt_tokens if usages else 0
    completion = sum(usage.num_completion_tokens for usage in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usages[0].num_cached_tokens if usages else 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(usage.num_reasoning_tokens for usage in usages),
            "accepted_prediction_tokens": sum(usage.num_accepted_draft_tokens for usage in usages),
            "rejected_prediction_tokens": sum(usage.num_rejected_draft_tokens for usage in usages),
        },
    }


def logprob_entries(logprobs: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """Return ``logprobs.content`` entries of chat choices."""
    return [
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


class ChatChunks:
    """Turns one request's events into ``chat.completion.chunk`` frames.

    Args:
        requested_model: The name the client used; queue frames repeat it.
        include_usage: ``stream_options.include_usage``: a last chunk without choices carries the usage, and
            every other chunk says ``usage: null``. Otherwise the finish chunk carries it.
    """

    media_type = EVENT_STREAM

    def __init__(
        self, requested_model: str, *, num_choices: int, include_usage: bool, fingerprint: str
    ) -> None:
        self._fingerprint = fingerprint
        self._id = new_id("chatcmpl")
        self._created = int(time.time())
        self._model = requested_model
        self._include_usage = include_usage
        self._num_choices = num_choices
        self._named_roles: set[int] = set()
        self._begun_calls: set[tuple[int, int]] = set()
        self._usages: list[Usage] = []

    def render(self, event: Event) -> Iterator[bytes]:
        """Yield the frames of one event."""
        match event:
            case QueuePlace():
                places = {"queue_position": event.position, "queue_pending": event.pending}
                yield self._chunk(0, {"role": "assistant", "content": ""}, extra=places)
            case Admitted():
                self._model = event.model
                for choice in range(self._num_choices):
                    yield self._delta(choice, {"content": ""})
            case TextDelta():
                yield self._delta(event.choice, {"content": event.text}, event.logprobs)
            case ThinkingDelta():
                delta = {"reasoning_content": event.text, "reasoning": event.text}
                yield self._delta(event.choice, delta, event.logprobs)
            case ToolCallDelta():
                self._begun_calls.add((event.choice, event.index))
                yield self._delta(event.choice, self.call_delta(event))
            case ToolCallDone() if (event.choice, event.index) not in self._begun_calls:
                yield self._delta(event.choice, self.call_delta(_in_one_piece(event)))
            case Finished():
                yield self._finish(event)
            case Failed():
                yield sse(error_body(JackfieldError.from_record(event.error), 500))
            case ToolCallDone() | CanvasPreview():
                return

    def _delta(self, choice: int, delta: dict[str, Any], logprobs: Sequence[TokenLogprob] = ()) -> bytes:
        if choice not in self._named_roles:
            self._named_roles.add(choice)
            delta = {"role": "assistant", **delta}
        return self._chunk(choice, delta, logprobs=logprobs)

    def end(self) -> Iterator[bytes]:
        """Yield what follows the last choice: the usage when it was asked for, and the terminator."""
        if self._include_usage:
            yield sse({**self._head(), "choices": [], "usage": usage_body(self._usages)})
        yield DONE

    def heartbeat(self) -> bytes:
        """Return a comment, which clients skip."""
        return SSE_COMMENT

    def _finish(self, event: Finished) -> bytes:
        self._usages.append(event.usage)
        is_last = len(self._usages) == self._num_choices
        usage = {} if self._include_usage or not is_last else {"usage": usage_body(self._usages)}
        extra = {**usage, **noted([event.note])}
        return self._chunk(event.choice, {}, reason=self.reason(event), extra=extra)

    def call_delta(self, event: ToolCallDelta) -> dict[str, Any]:
        """Return a piece of a call as a delta; the first piece names it, later ones carry argument text."""
        if event.name:
            function = {"name": event.name, "arguments": event.arguments}
            call = {"index": event.index, "id": event.id, "type": "function", "function": function}
        else:
            call = {"index": event.index, "function": {"arguments": event.arguments}}
        return {"tool_calls": [call]}

    def reason(self, event: Finished) -> str:
        """Return how a choice ended, in OpenAI's words."""
        return finish_reason(event)

    def _chunk(
        self,
        choice: int,
        delta: dict[str, Any],
        *,
        reason: str | None = None,
        logprobs: Sequence[TokenLogprob] = (),
        extra: Mapping[str, Any] = MappingProxyType({}),
    ) -> bytes:
        body: dict[str, Any] = {"index": choice, "delta": delta, "finish_reason": reason}
        if logprobs:
            body["logprobs"] = {"content": logprob_entries(logprobs)}
        unknown_yet = {"usage": None} if self._include_usage else {}
        return sse({**self._head(), "choices": [body], **unknown_yet, **extra})

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "system_fingerprint": self._fingerprint,
        }


class ChatAnswer:
    """Gathers one request's events into a whole ``chat.completion``."""

    def __init__(self, requested_model: str, *, num_choices: int, fingerprint: str) -> None:
        self._model = requested_model
        self._fingerprint = fingerprint
        self._choices = [_Choice() for _ in range(num_choices)]

    def take(self, event: Event) -> None:
        """Take an event.

        Raises:
            JackfieldError: The event is a failure.
        """
        match event:
            case Admitted():
                self._model = event.model
            case TextDelta():
                self._choices[event.choice].text.append(event.text)
                self._choices[event.choice].logprobs.extend(event.logprobs)
            case ThinkingDelta():
                self._choices[event.choice].thinking.append(event.text)
                self._choices[event.choice].logprobs.extend(event.logprobs)
            case ToolCallDone():
                self._choices[event.choice].calls.append(event)
            case Finished():
                self._choices[event.choice].end = event
            case Failed():
                raise JackfieldError.from_record(event.error)
            case QueuePlace() | ToolCallDelta() | CanvasPreview():
                return

    def texts(self) -> list[str]:
        """Return the text of each choice that is not a tool call."""
        return ["".join(choice.text) for choice in self._choices if not choice.calls]

    def body(self) -> dict[str, Any]:
        """Return the answer."""
        return {
            "id": new_id("chatcmpl"),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._model,
            "system_fingerprint": self._fingerprint,
            "choices": [choice.body(index) for index, choice in enumerate(self._choices)],
            "usage": usage_body([choice.end.usage for choice in self._choices if choice.end]),
            **noted([choice.end.note for choice in self._choices if choice.end]),
        }


class _Choice:
    """One choice while it grows."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.thinking: list[str] = []
        self.calls: list[ToolCallDone] = []
        self.logprobs: list[TokenLogprob] = []
        self.end: Finished | None = None

    def body(self, index: int) -> dict[str, Any]:
        text = "".join(self.text)
        message: dict[str, Any] = {"role": "assistant", "content": text if text or not self.calls else None}
        if self.thinking:
            thought = "".join(self.thinking)
            message |= {"reasoning_content": thought, "reasoning": thought, "thinking": thought}
        if self.calls:
            message["tool_calls"] = [_whole_call(call) for call in self.calls]
        return {
            "index": index,
            "message": message,
            "logprobs": {"content": logprob_entries(self.logprobs)} if self.logprobs else None,
            "finish_reason": finish_reason(self.end) if self.end else None,
        }


def noted(notes: Iterable[str]) -> dict[str, Any]:
    """Return where an answer says what was left out or had no effect; nothing for nothing to say."""
    told = list(dict.fromkeys(note for note in notes if note))
    return {"x_jackfield": {"note": "; ".join(told)}} if told else {}


def finish_reason(event: Finished) -> str:
    """Return OpenAI's word for how a choice ended."""
    return "stop" if event.reason == "cancelled" else event.reason


def _in_one_piece(call: ToolCallDone) -> ToolCallDelta:
    arguments = msgspec.json.encode(call.arguments).decode()
    return ToolCallDelta(call.index, call.id, call.name, arguments, call.choice)


def _whole_call(call: ToolCallDone) -> dict[str, Any]:
    arguments = msgspec.json.encode(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
