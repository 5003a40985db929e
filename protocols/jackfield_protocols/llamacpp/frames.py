"""Events to llama-server's shapes: ``data:`` frames with a piece each, and whole answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from jackfield.errors import JackfieldError
from jackfield.server import EVENT_STREAM, SSE_COMMENT, sse
from jackfield.service.events import (
    Admitted,
    Event,
    Failed,
    Finished,
    QueuePlace,
    TextDelta,
    Timings,
    TokenLogprob,
    Usage,
)
from jackfield.service.requests import GenerationRequest
from jackfield_protocols.llamacpp.errors import error_body

__all__ = ["CompletionAnswer", "CompletionFrames"]

NANOSECONDS_PER_MS = 1_000_000


class CompletionFrames:
    """Turns one request's events into Server-Sent Events; the last one has ``stop`` and the figures."""

    media_type = EVENT_STREAM

    def __init__(self, wanted: GenerationRequest) -> None:
        self._answer = CompletionAnswer(wanted)

    def render(self, event: Event) -> Iterator[bytes]:
        """Yield the frames of one event."""
        match event:
            case QueuePlace():
                places = {"queue_position": event.position, "queue_pending": event.pending}
                yield sse({"index": 0, "content": "", "stop": False, **places})
            case TextDelta():
                self._answer.take(event)
                piece: dict[str, Any] = {
                    "index": 0,
                    "content": event.text,
                    "tokens": [],
                    "stop": False,
                    "id_slot": -1,
                }
                yield sse({**piece, **_probabilities(event.logprobs)})
            case Finished():
                self._answer.take(event)
                last: dict[str, Any] = {"content": "", "completion_probabilities": []}
                yield sse({**self._answer.body(), **last})
            case Failed():
                yield sse(error_body(JackfieldError.from_record(event.error), 500))
            case _:
                self._answer.take(event)

    def end(self) -> Iterator[bytes]:
        """Return what follows the last frame: nothing."""
        return iter(())

    def heartbeat(self) -> bytes:
        """Return a comment, which clients skip."""
        return SSE_COMMENT


class CompletionAnswer:
    """Gathers one request's events into a whole answer."""

    def __init__(self, wanted: GenerationRequest) -> None:
        self._wanted = wanted
        self._model = wanted.model
        self._text: list[str] = []
        self._logprobs: list[TokenLogprob] = []
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
                self._text.append(event.text)
                self._logprobs.extend(event.logprobs)
            case Finished():
                self._end = event
            case Failed():
                raise JackfieldError.from_record(event.error)
            case _:
                return

    def body(self) -> dict[str, Any]:
        """Return the answer."""
        end = self._end
        assert end is not None, "a collected stream has an end"
        text = "".join(self._text)
        usage = end.usage
        return {
            "index": 0,
            "content": text,
            "tokens": end.tokens[usage.num_prompt_tokens :],
            "id_slot": -1,
            "stop": True,
            "model": self._model,
            "tokens_predicted": usage.num_completion_tokens,
            "tokens_evaluated": usage.num_prompt_tokens,
            "tokens_cached": usage.num_cached_tokens,
            "generation_settings": msgspec.structs.asdict(self._wanted.sampling),
            "prompt": self._wanted.prompt or "",
            "has_new_line": "\n" in text,
            "truncated": bool(end.note),
            "stop_type": _stop_type(end),
            "stopping_word": end.stop_text or "",
            "timings": _timings(usage, end.timings),
            **({"note": end.note} if end.note else {}),
            **_probabilities(self._logprobs),
        }


def _stop_type(end: Finished) -> str:
    if end.stop_text is not None:
        return "word"
    return {"stop": "eos", "length": "limit"}.get(end.reason, "none")


def _timings(usage: Usage, timings: Timings) -> dict[str, float]:
    num_computed = usage.num_prompt_tokens - usage.num_cached_tokens
    return {
        "cache_n": usage.num_cached_tokens,
        **_phase("prompt", num_computed, timings.prefill_ns),
        **_phase("predicted", usage.num_completion_tokens, timings.decode_ns),
        "draft_n": usage.num_accepted_draft_tokens + usage.num_rejected_draft_tokens,
        "draft_n_accepted": usage.num_accepted_draft_tokens,
    }


def _phase(name: str, num_tokens: int, duration_ns: int) -> dict[str, float]:
    duration_ms = duration_ns / NANOSECONDS_PER_MS
    return {
        f"{name}_n": num_tokens,
        f"{name}_ms": duration_ms,
        f"{name}_per_token_ms": duration_ms / max(1, num_tokens),
        f"{name}_per_second": 1000 * num_tokens / duration_ms if duration_ms else 0.0,
    }


def _probabilities(logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    if not logprobs:
        return {}
    entries = [
        {
            "id": item.token_id,
            "token": item.text,
            "bytes": item.bytes_,
            "logprob": item.logprob,
            "top_logprobs": [
                {"id": token_id, "token": text, "bytes": data, "logprob": logprob}
                for token_id, text, data, logprob in item.top
            ],
        }
        for item in logprobs
    ]
    return {"completion_probabilities": entries}
