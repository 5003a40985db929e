"""Events to ``text_completion``: streamed chunks and whole answers of ``/v1/completions``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from jackfield.errors import JackfieldError
from jackfield.service.events import Event, Failed, Finished, TextDelta, ThinkingDelta, TokenLogprob, Usage
from jackfield_protocols.openai.errors import error_body
from jackfield_protocols.openai.frames import (
    DONE,
    EVENT_STREAM,
    HEARTBEAT,
    finish_reason,
    new_id,
    sse,
    usage_body,
)

__all__ = ["CompletionAnswer", "CompletionChunks"]


class CompletionChunks:
    """Turns the events of one prompt into ``text_completion`` frames."""

    media_type = EVENT_STREAM

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self._head = {
            "id": new_id("cmpl"),
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._include_usage = include_usage
        self._usages: list[Usage] = []

    def render(self, event: Event) -> Iterator[bytes]:
        """Yield the frames of one event."""
        match event:
            case TextDelta() | ThinkingDelta():
                yield self._chunk(event.choice, event.text, None, legacy_logprobs(event.logprobs))
            case Finished():
                self._usages.append(event.usage)
                yield self._chunk(event.choice, "", finish_reason(event), None)
            case Failed():
                yield sse(error_body(JackfieldError.from_record(event.error), 500))
            case _:
                return

    def end(self) -> Iterator[bytes]:
        """Yield what follows the last choice: the usage when it was asked for, and the terminator."""
        if self._include_usage:
            yield sse({**self._head, "choices": [], "usage": usage_body(self._usages)})
        yield DONE

    def heartbeat(self) -> bytes:
        """Return a comment, which clients skip."""
        return HEARTBEAT

    def _chunk(self, choice: int, text: str, reason: str | None, logprobs: Any) -> bytes:
        body = {"index": choice, "text": text, "logprobs": logprobs, "finish_reason": reason}
        usage = {"usage": None} if self._include_usage else {}
        return sse({**self._head, "choices": [body], **usage})


class CompletionAnswer:
    """Gathers the events of all prompts of one body into a whole ``text_completion``."""

    def __init__(self, model: str, *, num_prompts: int, num_choices: int) -> None:
        self._model = model
        self._num_choices = num_choices
        self._texts: list[list[str]] = [[] for _ in range(num_prompts * num_choices)]
        self._logprobs: list[list[TokenLogprob]] = [[] for _ in self._texts]
        self._reasons: list[str | None] = [None for _ in self._texts]
        self._usages: list[list[Usage]] = [[] for _ in range(num_prompts)]

    def take(self, prompt: int, event: Event) -> None:
        """Take an event of one prompt.

        Raises:
            JackfieldError: The event is a failure.
        """
        match event:
            case TextDelta() | ThinkingDelta():
                self._texts[self._place(prompt, event.choice)].append(event.text)
                self._logprobs[self._place(prompt, event.choice)].extend(event.logprobs)
            case Finished():
                self._reasons[self._place(prompt, event.choice)] = finish_reason(event)
                self._usages[prompt].append(event.usage)
            case Failed():
                raise JackfieldError.from_record(event.error)
            case _:
                return

    def body(self) -> dict[str, Any]:
        """Return the answer."""
        return {
            "id": new_id("cmpl"),
            "object": "text_completion",
            "created": int(time.time()),
            "model": self._model,
            "choices": [self._choice(index) for index in range(len(self._texts))],
            "usage": self._usage(),
        }

    def _place(self, prompt: int, choice: int) -> int:
        return prompt * self._num_choices + choice

    def _choice(self, index: int) -> dict[str, Any]:
        return {
            "index": index,
            "text": "".join(self._texts[index]),
            "logprobs": legacy_logprobs(self._logprobs[index]),
            "finish_reason": self._reasons[index],
        }

    def _usage(self) -> dict[str, Any]:
        """Sum over the prompts; within a prompt the choices share its tokens."""
        bodies = [usage_body(usages) for usages in self._usages]
        total = {key: sum(body[key] for body in bodies) for key in ("prompt_tokens", "completion_tokens")}
        cached = sum(body["prompt_tokens_details"]["cached_tokens"] for body in bodies)
        return {
            **total,
            "total_tokens": total["prompt_tokens"] + total["completion_tokens"],
            "prompt_tokens_details": {"cached_tokens": cached},
        }


def legacy_logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """Return the older ``logprobs`` object: parallel lists; ``None`` when none were asked for."""
    if not logprobs:
        return None
    offsets = [0]
    for item in logprobs[:-1]:
        offsets.append(offsets[-1] + len(item.text))
    return {
        "tokens": [item.text for item in logprobs],
        "token_logprobs": [item.logprob for item in logprobs],
        "top_logprobs": [{text: logprob for _, text, _, logprob in item.top} for item in logprobs],
        "text_offset": offsets,
    }
