"""Events to ``text_completion``: streamed chunks and whole answers of ``/v1/completions``."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from jackfield.errors import JackfieldError
from jackfield.server import EVENT_STREAM, SSE_COMMENT, sse
from jackfield.service.events import Event, Failed, Finished, TextDelta, ThinkingDelta, TokenLogprob, Usage
from jackfield_protocols.openai.errors import error_body
from jackfield_protocols.openai.frames import (
    DONE,
    finish_reason,
    new_id,
    noted,
    usage_body,
)

__all__ = ["CompletionAnswer", "CompletionChunks"]


class CompletionChunks:
    """Turns the events of one prompt into ``text_completion`` frames."""

    media_type = EVENT_STREAM

    def __init__(self, model: str, *, include_usage: bool, fingerprint: str) -> None:
        self._head = {
            "id": new_id("cmpl"),
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }
        self._include_usage = include_usage
        self._offsets: dict[int, int] = {}
        self._usages: list[Usage] = []

    def render(self, event: Event) -> Iterator[bytes]:
        """Yield the frames of one event."""
        match event:
            case TextDelta() | ThinkingDelta():
                logprobs = legacy_logprobs(event.logprobs, self._offsets.get(event.choice, 0))
                yield self._chunk(event.choice, event.text, None, logprobs)
                length = sum(len(item.text) for item in event.logprobs)
                self._offsets[event.choice] = self._offsets.get(event.choice, 0) + length
            case Finished():
                self._usages.append(event.usage)
                yield self._chunk(event.choice, "", finish_reason(event), None, noted([event.note]))
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
        return SSE_COMMENT

    def _chunk(
        self,
        choice: int,
        text: str,
        reason: str | None,
        logprobs: Any,
        extra: Mapping[str, Any] = MappingProxyType({}),
    ) -> bytes:
        body = {"index": choice, "text": text, "logprobs": logprobs, "finish_reason": reason}
        usage = {"usage": None} if self._include_usage else {}
        return sse({**self._head, "choices": [body], **usage, **extra})


class CompletionAnswer:
    """Gathers the events of all prompts of one body into a whole ``text_completion``.

    Args:
        num_choices: Answers to each prompt, of which the ``num_kept`` likeliest are given.
        shows_logprobs: They were asked for, and not only needed to find the likeliest.
    """

    def __init__(
        self,
        model: str,
        *,
        num_prompts: int,
        num_choices: int,
        num_kept: int,
        shows_logprobs: bool,
        fingerprint: str,
    ) -> None:
        self._model = model
        self._num_choices = num_choices
        self._num_kept = num_kept
        self._shows_logprobs = shows_logprobs
        self._fingerprint = fingerprint
        self._texts: list[list[str]] = [[] for _ in range(num_prompts * num_choices)]
        self._logprobs: list[list[TokenLogprob]] = [[] for _ in self._texts]
        self._reasons: list[str | None] = [None for _ in self._texts]
        self._usages: list[list[Usage]] = [[] for _ in range(num_prompts)]
        self._notes: list[str] = []

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
                self._notes.append(event.note)
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
            "system_fingerprint": self._fingerprint,
            "choices": [self._choice(index, place) for index, place in enumerate(self._kept())],
            "usage": self._usage(),
            **noted(self._notes),
        }

    def _place(self, prompt: int, choice: int) -> int:
        return prompt * self._num_choices + choice

    def _kept(self) -> list[int]:
        """Return the places of the choices that are given, those of each prompt likeliest first."""
        if self._num_kept == self._num_choices:
            return list(range(len(self._texts)))
        kept: list[int] = []
        for start in range(0, len(self._texts), self._num_choices):
            places = range(start, start + self._num_choices)
            kept += sorted(places, key=lambda place: -_mean_logprob(self._logprobs[place]))[: self._num_kept]
        return kept

    def _choice(self, index: int, place: int) -> dict[str, Any]:
        return {
            "index": index,
            "text": "".join(self._texts[place]),
            "logprobs": legacy_logprobs(self._logprobs[place]) if self._shows_logprobs else None,
            "finish_reason": self._reasons[place],
        }

    def _usage(self) -> dict[str, Any]:
        """Sum over the prompts; within a prompt the choices share its tokens."""
        bodies = [usage_body(usages) for usages in self._usages]
        return {
            **_summed(bodies, ("prompt_tokens", "completion_tokens", "total_tokens")),
            **{
                details: _summed([body[details] for body in bodies], bodies[0][details])
                for details in ("prompt_tokens_details", "completion_tokens_details")
            },
        }


def _summed(bodies: Sequence[dict[str, Any]], keys: Iterable[str]) -> dict[str, Any]:
    return {key: sum(body[key] for body in bodies) for key in keys}


def _mean_logprob(logprobs: Sequence[TokenLogprob]) -> float:
    return sum(item.logprob or 0.0 for item in logprobs) / max(1, len(logprobs))


def legacy_logprobs(logprobs: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any] | None:
    """Return the older ``logprobs`` object: parallel lists; ``None`` when none were asked for.

    Args:
        offset: Characters of the text before.
    """
    if not logprobs:
        return None
    lengths = [len(item.text) for item in logprobs]
    return {
        "tokens": [item.text for item in logprobs],
        "token_logprobs": [item.logprob for item in logprobs],
        "top_logprobs": [_alternatives(item) for item in logprobs],
        "text_offset": list(itertools.accumulate(lengths[:-1], initial=offset)),
    }


def _alternatives(item: TokenLogprob) -> dict[str, float] | None:
    """Return the best tokens of a place; nothing predicts the first token of a prompt."""
    if item.logprob is None:
        return None
    return {text: logprob for _, text, _, logprob in item.top}
