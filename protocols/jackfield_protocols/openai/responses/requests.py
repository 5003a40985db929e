"""Bodies to requests: pure translation, every refusal with the field's name."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from jackfield.errors import RequestError, Unsupported
from jackfield.server import convert, require_model
from jackfield.service.requests import GenerationRequest, Message, ThinkLevel, ToolChoice, ToolDefinition
from jackfield_protocols.openai.requests import EFFORTS, sampling_from
from jackfield_protocols.openai.response_format import constraint_from
from jackfield_protocols.openai.responses.bodies import ResponsesBody

__all__ = ["decode_response", "response_request"]

PROTOCOL = "responses"
NOT_OFFERED = {
    "background": "send the request without it and read the stream",
    "conversation": "use previous_response_id, or send the history as input",
    "prompt": "no prompts are stored here; send instructions and input",
}
LOGPROBS = "message.output_text.logprobs"


def decode_response(body: object) -> ResponsesBody:
    """Check a decoded body: model first, then every field's type and range.

    Raises:
        RequestError: Naming the first field that is wrong. ``Unsupported`` for what only OpenAI offers.
    """
    decoded = convert(require_model(body), ResponsesBody)
    for name, instead in NOT_OFFERED.items():
        if getattr(decoded, name):
            raise Unsupported(f"{name} is not supported; {instead}", param=name)
    if decoded.truncation not in (None, "auto", "disabled"):
        raise RequestError(
            f"truncation is {decoded.truncation!r}, expected 'auto' or 'disabled'", param="truncation"
        )
    return decoded


def response_request(
    body: ResponsesBody, conversation: list[Message], *, request_id: str, owner: str
) -> GenerationRequest:
    """Translate ``/v1/responses``.

    Args:
        conversation: Earlier turns and the body's own input.
        owner: Who asks: salts the prefix cache and shares the queue fairly.

    Raises:
        RequestError: A field's value cannot be used; ``param`` names it.
    """
    if not conversation:
        raise RequestError("input is empty; give a text or at least one item", param="input")
    system = [Message("system", body.instructions)] if body.instructions else []
    tools, tool_choice = _offered(body)
    output_format = body.text.format if body.text is not None else None
    return GenerationRequest(
        id=request_id,
        protocol=PROTOCOL,
        model=body.model,
        messages=[*system, *conversation],
        sampling=sampling_from(body, _max_tokens(body), _top_logprobs(body)),
        tools=tools,
        tool_choice=tool_choice,
        constraint=constraint_from(
            output_format, think=False, tools=False, composes=True, param="text.format", needs_strict=False
        ),
        think=_think(body),
        thinking_budget=body.thinking_budget,
        cache_salt=owner,
        truncate=body.truncation == "auto",
        dry_run=bool(body.dry_run),
        priority_key=owner,
    )


def _max_tokens(body: ResponsesBody) -> int | None:
    """Absent is what the context leaves, as the API has it."""
    asked = body.max_output_tokens
    if asked == 0:
        raise RequestError("max_output_tokens is 0, expected at least 1", param="max_output_tokens")
    return None if asked is None or asked < 0 else asked


def _top_logprobs(body: ResponsesBody) -> int | None:
    is_wanted = body.top_logprobs is not None or LOGPROBS in (body.include or ())
    return (body.top_logprobs or 0) if is_wanted else None


def _think(body: ResponsesBody) -> bool | ThinkLevel | None:
    effort = body.reasoning.effort if body.reasoning is not None else None
    if effort is None:
        return None
    if effort not in EFFORTS:
        raise RequestError(
            f"reasoning.effort is {effort!r}, expected one of {', '.join(EFFORTS)}", param="reasoning.effort"
        )
    return EFFORTS[effort]


# ---- tools ---------------------------------------------------------------------------------------


def _offered(body: ResponsesBody) -> tuple[list[ToolDefinition], ToolChoice]:
    """Return the tools the model gets to see, and whether it may or must call one."""
    tools = [_tool(f"tools[{index}]", tool) for index, tool in enumerate(body.tools or ())]
    parallel = body.parallel_tool_calls is not False
    choice = body.tool_choice
    if choice is None or choice in ("auto", "none", "required"):
        return tools, ToolChoice(mode=cast("Any", choice or "auto"), parallel=parallel)
    if not isinstance(choice, dict):
        raise _bad_choice(choice)
    if choice.get("type") == "allowed_tools":
        return _allowed(tools, choice, parallel)
    if choice.get("type") != "function":
        raise _bad_choice(choice)
    name = _known(choice, tools)
    return tools, ToolChoice(mode="required", name=name, parallel=parallel)


def _allowed(
    tools: list[ToolDefinition], choice: dict[str, Any], parallel: bool
) -> tuple[list[ToolDefinition], ToolChoice]:
    """Offer only some of the tools."""
    mode, allowed = choice.get("mode", "auto"), choice.get("tools")
    if mode not in ("auto", "required") or not isinstance(allowed, list):
        raise _bad_choice(choice)
    names = [_known(one, tools) for one in cast("list[object]", allowed)]
    return [tool for tool in tools if tool.name in names], ToolChoice(mode=mode, parallel=parallel)


def _known(choice: Any, tools: list[ToolDefinition]) -> str:
    name: Any = cast("dict[str, Any]", choice).get("name") if isinstance(choice, dict) else None
    if name not in [tool.name for tool in tools]:
        raise RequestError(f"tool_choice names {name!r}, which is not among tools", param="tool_choice")
    return str(name)


def _bad_choice(choice: Any) -> RequestError:
    return RequestError(
        f"tool_choice is {choice!r}, expected none, auto, required, a function or allowed_tools",
        param="tool_choice",
    )


def _tool(place: str, tool: dict[str, Any]) -> ToolDefinition:
    if tool.get("type") != "function":
        raise Unsupported(
            f"{place} has type {tool.get('type')!r}: this server runs no tools of its own; declare functions"
            " that you run (type 'function')",
            param=place,
        )
    known = {name: tool[name] for name in ("name", "description", "parameters") if tool.get(name) is not None}
    try:
        return msgspec.convert(known, ToolDefinition)
    except msgspec.ValidationError as error:
        raise RequestError(f"{place}: {error}", param=place) from error
