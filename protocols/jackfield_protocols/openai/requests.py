"""Bodies to requests: pure translation, every refusal with the field's name."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from jackfield.errors import RequestError, Unsupported
from jackfield.server import convert, require_model
from jackfield.service.requests import (
    ALLOWED_TEMPLATE_ARGUMENTS,
    GenerationRequest,
    Message,
    Sampling,
    ThinkLevel,
    ToolCall,
    ToolChoice,
    ToolDefinition,
)
from jackfield_protocols.openai.bodies import ChatBody, ChatMessage, CompletionBody, SamplingFields
from jackfield_protocols.openai.content import content_of, object_or_text
from jackfield_protocols.openai.response_format import constraint_from, extended_constraint
from jackfield_protocols.openai.tokens import are_tokens

__all__ = [
    "EFFORTS",
    "chat_request",
    "completion_requests",
    "decode_chat",
    "decode_completion",
    "sampling_from",
]

PROTOCOL = "openai"
MAX_PROMPTS = 32
EFFORTS: dict[str, bool | ThinkLevel] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
COPIED_FIELDS = (
    "temperature", "top_p", "min_p", "typical_p", "presence_penalty", "frequency_penalty",
    "repeat_last_n", "min_tokens", "ignore_eos", "mirostat", "mirostat_tau", "mirostat_eta",
    "xtc_probability", "xtc_threshold", "dry_multiplier", "dry_base", "dry_allowed_length",
    "dry_penalty_last_n", "dry_sequence_breakers",
)  # fmt: skip


# ---- decoding, in the contract's order of checks -------------------------------------------------


def decode_chat(body: object) -> ChatBody:
    """Check a decoded body: model first, then messages, then every field's type and range.

    Raises:
        RequestError: Naming the first field that is wrong.
    """
    fields = require_model(body)
    if not isinstance(fields.get("messages"), list):
        raise RequestError("messages is required and must be a list", param="messages")
    return convert(fields, ChatBody)


def decode_completion(body: object) -> CompletionBody:
    """Check a decoded body of ``/v1/completions``. Raises ``RequestError``."""
    return convert(require_model(body), CompletionBody)


# ---- chat ----------------------------------------------------------------------------------------


def chat_request(body: ChatBody, *, request_id: str, owner: str) -> GenerationRequest:
    """Translate ``/v1/chat/completions``.

    Args:
        owner: Who asks: salts the prefix cache and shares the queue fairly.

    Raises:
        RequestError: A field's value cannot be used; ``param`` names it.
    """
    if body.audio is not None or "audio" in (body.modalities or ()):
        raise Unsupported("audio output is not supported; leave out modalities and audio", param="modalities")
    sampling = sampling_from(body, _max_tokens(body), _top_logprobs(body))
    messages = [_message(index, message) for index, message in enumerate(body.messages)]
    think = _think(body)
    constraint = constraint_from(
        body.response_format, think=bool(think), tools=bool(body.tools), composes=_composes(body)
    ) or extended_constraint(body)
    return GenerationRequest(
        id=request_id,
        protocol=PROTOCOL,
        model=body.model,
        messages=messages,
        sampling=sampling,
        tools=[_tool(index, tool) for index, tool in enumerate(body.tools or ())],
        tool_choice=_tool_choice(body),
        constraint=constraint,
        think=think,
        thinking_budget=_thinking_budget(body),
        reset_session=body.cache_prompt is False,
        cache_salt=owner,
        template_arguments=_template_arguments(body.chat_template_kwargs or {}),
        continue_final_message=bool(body.continue_final_message),
        num_choices=body.n or 1,
        dry_run=bool(body.dry_run),
        priority_key=owner,
    )


def _max_tokens(body: ChatBody) -> int | None:
    """``max_completion_tokens`` wins; -1 asks for what the context leaves; absent is the contract's 200."""
    asked = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    if asked is None:
        return Sampling().max_tokens
    if asked == 0:
        raise RequestError("max_tokens is 0, expected at least 1 or -1 for no limit", param="max_tokens")
    return None if asked < 0 else asked


def _top_logprobs(body: ChatBody) -> int | None:
    if body.top_logprobs and not body.logprobs:
        raise RequestError("top_logprobs needs logprobs to be true", param="top_logprobs")
    return (body.top_logprobs or 0) if body.logprobs else None


def _think(body: ChatBody) -> bool | ThinkLevel | None:
    if body.think is not None:
        return body.think
    if body.reasoning_effort is not None:
        if body.reasoning_effort not in EFFORTS:
            raise RequestError(
                f"reasoning_effort is {body.reasoning_effort!r}, expected one of {', '.join(EFFORTS)}",
                param="reasoning_effort",
            )
        return EFFORTS[body.reasoning_effort]
    enabled = (body.chat_template_kwargs or {}).get("enable_thinking")
    return enabled if isinstance(enabled, bool) else None


def _thinking_budget(body: ChatBody) -> int | None:
    budget = body.thinking_budget if body.thinking_budget is not None else body.reasoning_budget
    return None if budget is None or budget < 0 else budget


def _composes(body: ChatBody) -> bool:
    """Whether the client opted in to structured output together with tools or thinking."""
    return bool((body.x_jackfield or {}).get("compose_structured")) or body.tool_choice == "none"


def _template_arguments(given: dict[str, Any]) -> dict[str, str | int | float | bool]:
    """Keep scalars of the allow-list; anything else could steer the renderer.

    Raises:
        RequestError: A name outside the list, or a value that is not a scalar.
    """
    for name, value in given.items():
        if name not in ALLOWED_TEMPLATE_ARGUMENTS or not isinstance(value, str | int | float | bool):
            allowed = ", ".join(sorted(ALLOWED_TEMPLATE_ARGUMENTS))
            raise RequestError(
                f"chat_template_kwargs {name!r} is not allowed, expected a scalar of: {allowed}",
                param="chat_template_kwargs",
            )
    return given


# ---- messages and tools --------------------------------------------------------------------------


def _message(index: int, message: ChatMessage) -> Message:
    place = f"messages[{index}]"
    text, images = content_of(message.content, place)
    given = message.tool_calls or ()
    if message.function_call is not None:
        given = [{"function": message.function_call}]
    calls = [_tool_call(call, f"{place}.tool_calls[{i}]") for i, call in enumerate(given)]
    return Message(
        role="tool" if message.role == "function" else message.role,
        content=text,
        thinking=message.reasoning_content or message.reasoning or message.thinking,
        tool_calls=calls,
        tool_call_id=message.tool_call_id,
        name=message.name,
        images=images,
    )


def _tool_call(call: dict[str, Any], place: str) -> ToolCall:
    """Read a replayed call; arguments that are not a JSON object stay text rather than fail."""
    function = call.get("function")
    name = cast("dict[str, Any]", function).get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise RequestError(f"{place}.function.name is required", param=place)
    arguments: Any = cast("dict[str, Any]", function).get("arguments", {})
    if isinstance(arguments, str):
        arguments = object_or_text(arguments)
    if not isinstance(arguments, dict | str):
        raise RequestError(f"{place}.function.arguments must be a JSON text", param=place)
    return ToolCall(
        name=name, arguments=cast("dict[str, Any] | str", arguments), id=str(call.get("id") or "")
    )


def _tool(index: int, tool: dict[str, Any]) -> ToolDefinition:
    place = f"tools[{index}]"
    if tool.get("type", "function") != "function":
        raise Unsupported(f"{place} has type {tool['type']!r}, expected 'function'", param=place)
    function = tool.get("function")
    if not isinstance(function, dict):
        raise RequestError(f"{place}.function must be an object", param=place)
    try:
        return msgspec.convert(
            {key: value for key, value in cast("dict[str, Any]", function).items() if value is not None},
            ToolDefinition,
        )
    except msgspec.ValidationError as error:
        raise RequestError(f"{place}.function: {error}", param=place) from error


def _tool_choice(body: ChatBody) -> ToolChoice:
    parallel = body.parallel_tool_calls is not False
    choice = body.tool_choice
    if choice is None or choice in ("auto", "none", "required"):
        return ToolChoice(mode=cast("Any", choice or "auto"), parallel=parallel)
    function: Any = choice.get("function") if isinstance(choice, dict) else None
    name = cast("dict[str, Any]", function).get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise RequestError(
            f"tool_choice is {choice!r}, expected none, auto, required or a named function",
            param="tool_choice",
        )
    offered = [cast("dict[str, Any]", tool.get("function") or {}).get("name") for tool in body.tools or ()]
    if name not in offered:
        raise RequestError(f"tool_choice names {name!r}, which is not among tools", param="tool_choice")
    return ToolChoice(mode="required", name=name, parallel=parallel)


# ---- completions ---------------------------------------------------------------------------------


def completion_requests(body: CompletionBody, *, request_id: str, owner: str) -> list[GenerationRequest]:
    """Translate ``/v1/completions``: one request a prompt.

    Raises:
        RequestError: No prompt, too many prompts, or a value that cannot be used.
    """
    prompts = _prompts(body.prompt)
    if not 1 <= len(prompts) <= MAX_PROMPTS:
        raise RequestError(f"{len(prompts)} prompts, expected 1 to {MAX_PROMPTS}", param="prompt")
    asked = 16 if body.max_tokens is None else body.max_tokens
    if asked == 0 and not body.echo:
        raise RequestError("max_tokens is 0, expected at least 1, or echo", param="max_tokens")
    num_choices = _num_choices(body)
    # the best are those of highest probability
    top_logprobs = 0 if body.logprobs is None and num_choices > (body.n or 1) else body.logprobs
    sampling = sampling_from(body, None if asked < 0 else asked, top_logprobs)
    constraint = constraint_from(
        body.response_format, think=False, tools=False, composes=False
    ) or extended_constraint(body)
    return [
        GenerationRequest(
            id=request_id if len(prompts) == 1 else f"{request_id}.{index}",
            protocol=PROTOCOL,
            model=body.model,
            prompt=prompt if isinstance(prompt, str) else None,
            prompt_tokens=None if isinstance(prompt, str) else prompt,
            suffix=body.suffix or None,
            sampling=sampling,
            constraint=constraint,
            cache_salt=owner,
            num_choices=num_choices,
            echo=bool(body.echo),
            dry_run=bool(body.dry_run),
            priority_key=owner,
        )
        for index, prompt in enumerate(prompts)
    ]


def _num_choices(body: CompletionBody) -> int:
    """Return how many to generate, of which ``n`` are kept."""
    wanted = body.n or 1
    best_of = body.best_of or wanted
    if best_of < wanted:
        raise RequestError(f"best_of is {best_of}, expected at least n, which is {wanted}", param="best_of")
    if best_of > wanted and (body.stream or body.echo):
        raise Unsupported("best_of needs whole answers: leave out stream and echo", param="best_of")
    return best_of


def _prompts(prompt: str | list[Any]) -> list[str | list[int]]:
    """Tell one prompt from several: a text, token ids, texts, or lists of token ids."""
    if isinstance(prompt, str):
        return [prompt]
    if are_tokens(prompt):
        return [prompt]
    for index, item in enumerate(prompt):
        if not isinstance(item, str) and not are_tokens(item):
            raise RequestError(
                f"prompt[{index}] must be a text or a list of token ids", param=f"prompt[{index}]"
            )
    return prompt


# ---- sampling ------------------------------------------------------------------------------------


def sampling_from(body: SamplingFields, max_tokens: int | None, top_logprobs: int | None) -> Sampling:
    """Translate the sampling fields that several endpoints share. Raises ``RequestError``."""
    given = {name: getattr(body, name) for name in COPIED_FIELDS if getattr(body, name) is not None}
    repeat = body.repetition_penalty if body.repetition_penalty is not None else body.repeat_penalty
    if repeat is not None:
        given["repeat_penalty"] = repeat
    if body.top_k is not None:
        given["top_k"] = max(0, body.top_k)  # -1 is off too, as for vLLM and llama-server
    if body.seed is not None and body.seed >= 0:
        given["seed"] = body.seed
    return Sampling(
        max_tokens=max_tokens,
        top_logprobs=top_logprobs,
        stop=[body.stop] if isinstance(body.stop, str) else list(body.stop or ()),
        logit_bias=_logit_bias(body.logit_bias or {}),
        **given,
    )


def _logit_bias(given: dict[str, float]) -> dict[int, float]:
    try:
        return {int(token): bias for token, bias in given.items()}
    except ValueError as error:
        raise RequestError("logit_bias keys must be token ids", param="logit_bias") from error
