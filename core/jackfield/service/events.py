"""What the service answers: one stream of typed events, whatever the protocol.

A stream is: any number of ``QueuePlace``, then ``Admitted``, then deltas, then for each choice one
``Finished``; or at any point one ``Failed``, which ends it. ``Admitted`` comes before the first token and
after everything that can be refused: a protocol waits for the first event that is not a ``QueuePlace``
before it chooses the HTTP status, unless it has begun to stream queue frames.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from jackfield.errors import ErrorRecord

__all__ = [
    "Admitted",
    "CanvasPreview",
    "DryRun",
    "Event",
    "Failed",
    "FinishReason",
    "Finished",
    "QueuePlace",
    "TextDelta",
    "ThinkingDelta",
    "Timings",
    "TokenLogprob",
    "ToolCallDelta",
    "ToolCallDone",
    "Usage",
]

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token's natural-log probability before truncation, with the best alternatives of its step.

    ``logprob`` is ``None`` only for the first token of an echoed prompt, which nothing predicts.
    """

    token_id: int
    text: str
    bytes_: list[int]
    logprob: float | None
    top: list[tuple[int, str, list[int], float]] = []


class QueuePlace(msgspec.Struct, frozen=True, tag="queue"):
    """The request waits: ``position`` from 1, of ``pending``. Sent at once and then every second."""

    position: int
    pending: int
    eta_s: float | None = None


class DryRun(msgspec.Struct, frozen=True):
    """What a request would do; every protocol answers ``dry_run`` with this object as it is.

    Attributes:
        prompt: As the chat template rendered it, or as the client wrote it.
        cached_tokens: Leading prompt tokens that the cache holds now.
        cache_note: Why it holds fewer than the session had; empty when nothing was lost.
        max_tokens: Most tokens to generate, clamped to what the context leaves.
        think: What the request's ``think`` came to. ``thinking_budget`` is 0 where nothing thinks.
        constraint: The kind of form the answer is held to, if any.
        tools: Names of the functions the model gets to see.
        parameters: Sampling as it will be done, defaults included.
        note: What would be done otherwise than asked, in words.
    """

    model: str
    prompt: str
    prompt_tokens: int
    cached_tokens: int
    cache_note: str
    context_length: int
    max_tokens: int
    think: bool | str
    thinking_budget: int
    num_choices: int
    constraint: str | None
    tools: list[str]
    parameters: dict[str, Any]
    note: str = ""
    object: Literal["dry_run"] = "dry_run"


class Admitted(msgspec.Struct, frozen=True, tag="admitted"):
    """Every check passed and the sequence has its pages.

    Attributes:
        model: File name of the model that answers.
        num_cached_tokens: Leading prompt tokens that need no computing.
        cache_note: Why fewer tokens were reused than the session held; empty when nothing was lost.
        dry_run: Only for a request with ``dry_run``.
    """

    model: str
    num_prompt_tokens: int
    num_cached_tokens: int
    max_tokens: int
    cache_note: str = ""
    dry_run: DryRun | None = None


class TextDelta(msgspec.Struct, frozen=True, tag="text"):
    """A piece of the answer; whole UTF-8, stop strings and tags already removed."""

    text: str
    choice: int = 0
    logprobs: list[TokenLogprob] = []


class ThinkingDelta(msgspec.Struct, frozen=True, tag="thinking"):
    """A piece of the reasoning."""

    text: str
    choice: int = 0
    logprobs: list[TokenLogprob] = []


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_delta"):
    """A piece of a tool call: the first of an ``index`` has ``id`` and ``name``, later ones argument text."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    choice: int = 0


class ToolCallDone(msgspec.Struct, frozen=True, tag="tool_done"):
    """A whole tool call; follows its deltas."""

    index: int
    id: str
    name: str
    arguments: dict[str, Any]
    choice: int = 0


class CanvasPreview(msgspec.Struct, frozen=True, tag="canvas"):
    """The whole text as a diffusion model sees it at one refinement step; replaces what was shown."""

    text: str
    step: int
    num_steps: int
    choice: int = 0


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a request; completion counts are of one choice until summed by the protocol."""

    num_prompt_tokens: int
    num_cached_tokens: int
    num_completion_tokens: int
    num_reasoning_tokens: int = 0
    num_accepted_draft_tokens: int = 0
    num_rejected_draft_tokens: int = 0


class Timings(msgspec.Struct, frozen=True):
    """Wall time of a request's phases in nanoseconds."""

    total_ns: int
    queue_ns: int
    load_ns: int
    prefill_ns: int
    decode_ns: int


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """A choice is complete.

    ``stop_text`` is the stop string that ended it, if one did; ``tokens`` are the ids of prompt and answer
    for a request with ``return_tokens``.
    """

    reason: FinishReason
    usage: Usage
    timings: Timings
    choice: int = 0
    stop_text: str | None = None
    note: str = ""
    tokens: list[int] = []


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The request ends here with an error; rebuild it with ``JackfieldError.from_record``."""

    error: ErrorRecord


Event = (
    QueuePlace
    | Admitted
    | TextDelta
    | ThinkingDelta
    | ToolCallDelta
    | ToolCallDone
    | CanvasPreview
    | Finished
    | Failed
)
