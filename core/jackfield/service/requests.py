"""What a protocol asks of the service: typed, checked for shape, free of any wire format."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "ALLOWED_TEMPLATE_ARGUMENTS",
    "Constraint",
    "ConstraintKind",
    "GenerationRequest",
    "Image",
    "Message",
    "Sampling",
    "ThinkLevel",
    "ToolCall",
    "ToolChoice",
    "ToolDefinition",
]

ThinkLevel = Literal["low", "medium", "high"]
ConstraintKind = Literal["json", "schema", "regex", "choice", "lark", "gbnf"]

ALLOWED_TEMPLATE_ARGUMENTS = frozenset(
    {
        "enable_thinking", "thinking", "reasoning_effort", "preserve_thinking", "clear_thinking",
        "truncate_history_thinking", "drop_thinking", "add_vision_id", "date_string", "model_identity",
    }
)  # fmt: skip
"""What ``chat_template_kwargs`` may set: scalars that templates read, nothing that steers the renderer."""


class Image(msgspec.Struct, frozen=True):
    """An image's encoded bytes as the client sent them; decoding happens behind limits."""

    data: bytes


class ToolCall(msgspec.Struct, frozen=True):
    """A call the model made in an earlier turn."""

    name: str
    arguments: dict[str, Any] | str
    id: str = ""


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation, by whatever protocol it came."""

    role: str
    content: str = ""
    thinking: str | None = None
    tool_calls: list[ToolCall] = []
    tool_call_id: str | None = None
    name: str | None = None
    images: list[Image] = []


class ToolDefinition(msgspec.Struct, frozen=True):
    """A function the model may call; ``parameters`` is its JSON schema."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether the model may, must or must not call a tool; ``name`` forces one."""

    mode: Literal["auto", "none", "required"] = "auto"
    name: str | None = None
    parallel: bool = True


class Constraint(msgspec.Struct, frozen=True):
    """What the answer must look like.

    ``json`` is any JSON object, ``schema`` a JSON schema (``value`` is the schema), ``regex``, ``choice``
    (``value`` is the list), ``lark`` a grammar. ``lenient`` leaves out what no grammar can say of a schema, and
    tells it with the answer's end.
    """

    kind: ConstraintKind
    value: Any = None
    name: str = ""
    lenient: bool = False


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How tokens are picked. Greedy by default (temperature 0), as the contract's page promises.

    Attributes:
        max_tokens: Most tokens to generate; ``None`` for what the context leaves.
        top_k: 0 is off. ``top_p`` and ``typical_p`` 1 are off, ``min_p`` 0 is off.
        repeat_last_n: Tokens the penalties look back on; -1 for the context, 0 for none.
        seed: ``None`` for a random one.
        stop: Texts that end the answer and are not part of it.
        logit_bias: Token id to a number added to its logit.
        top_logprobs: ``None`` for no log-probabilities, else how many alternatives (0 to 20).
        mirostat: 0 off, 1 or 2 the version.
        xtc_probability, xtc_threshold: XTC sampling; probability 0 is off.
        dry_multiplier: DRY repetition penalty; 0 is off.
    """

    max_tokens: int | None = 200
    min_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: list[str] = []
    ignore_eos: bool = False
    logit_bias: dict[int, float] = {}
    top_logprobs: int | None = None
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: list[str] = msgspec.field(default_factory=lambda: ["\n", ":", '"', "*"])


class GenerationRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One generation: exactly one of ``messages``, ``prompt`` and ``prompt_tokens`` is given.

    Attributes:
        id: Unique, ``[A-Za-z0-9._-]{1,64}``; also the request id of logs and headers.
        protocol: Its name, or that of the command which asks; for logs and metrics.
        model: The name the client used; checked against the hosted one before anything else.
        prompt: Raw text, no template. ``suffix`` makes it an infill request.
        earlier_tokens: Prompt and answer of an earlier generation, which the messages go on after; their system
            message is then the earlier one's.
        think: ``None`` leaves it to the server's default (off); a level is for templates that know levels.
        thinking_budget: Most thinking tokens; ``None`` for the default, which leaves room for an answer.
        session_id: Conversation whose cached prefix may be used; ``None`` for the shared default.
        reset_session: Forget the session's cached prefix first (and report 0 cached tokens).
        cache_salt: Prefixes are shared only between equal salts (derived from the API key).
        template_arguments: Scalars for the chat template, from an allow-list.
        continue_final_message: The last message is an unfinished answer to go on with.
        num_choices: Answers to generate from the one prompt.
        echo: Begin the answer with the prompt's own text.
        truncate: Drop the oldest messages when the prompt does not fit, and say so; else refuse.
        dry_run: Render and count, but generate nothing.
        return_tokens: Put the ids of prompt and answer into ``Finished.tokens``.
        priority_key: Fairness is between these: the API key's digest, or "".
    """

    id: str
    protocol: str
    model: str
    messages: list[Message] | None = None
    prompt: str | None = None
    prompt_tokens: list[int] | None = None
    suffix: str | None = None
    earlier_tokens: list[int] = []
    sampling: Sampling = Sampling()
    tools: list[ToolDefinition] = []
    tool_choice: ToolChoice = ToolChoice()
    constraint: Constraint | None = None
    think: bool | ThinkLevel | None = None
    thinking_budget: int | None = None
    session_id: str | None = None
    reset_session: bool = False
    cache_salt: str = ""
    template_arguments: dict[str, str | int | float | bool] = {}
    continue_final_message: bool = False
    num_choices: int = 1
    echo: bool = False
    truncate: bool = False
    dry_run: bool = False
    return_tokens: bool = False
    priority_key: str = ""
