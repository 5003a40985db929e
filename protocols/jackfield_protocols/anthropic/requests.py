"""Bodies to requests: pure translation, every refusal with the field's name."""

from __future__ import annotations

from typing import Any, cast

from jackfield.errors import RequestError, Unsupported
from jackfield.server import convert, require_model
from jackfield.service.requests import (
    Constraint,
    GenerationRequest,
    Message,
    Sampling,
    ThinkLevel,
    ToolChoice,
    ToolDefinition,
)
from jackfield_protocols.anthropic.bodies import CountBody, MessagesBody, Tool
from jackfield_protocols.anthropic.content import messages_from

__all__ = ["conversation_of", "decode_count", "decode_messages", "messages_request", "thinking_of"]

PROTOCOL = "anthropic"
EFFORTS: dict[str, ThinkLevel] = {
    "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high",
}  # fmt: skip
CHOICES = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}


# ---- decoding ------------------------------------------------------------------------------------


def decode_messages(body: object) -> MessagesBody:
    """Check a decoded body of ``/v1/messages``: model, then messages, then every field.

    Raises:
        RequestError: Naming the first field that is wrong.
    """
    fields = _checked(body)
    max_tokens = fields.get("max_tokens")
    if max_tokens is None:
        raise RequestError("max_tokens is required", param="max_tokens")
    if isinstance(max_tokens, int) and max_tokens < 1:
        raise RequestError(f"max_tokens is {max_tokens}, expected at least 1", param="max_tokens")
    return convert(fields, MessagesBody)


def decode_count(body: object) -> CountBody:
    """Check a decoded body of ``/v1/messages/count_tokens``. Raises ``RequestError``."""
    return convert(_checked(body), CountBody)


def _checked(body: object) -> dict[str, Any]:
    fields = require_model(body)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError(
            "messages is required and must be a list of at least one message", param="messages"
        )
    return fields


# ---- translating ---------------------------------------------------------------------------------


def messages_request(
    body: MessagesBody, *, can_think: bool, request_id: str, owner: str
) -> GenerationRequest:
    """Translate ``/v1/messages``.

    Args:
        can_think: Whether the hosted model thinks; "adaptive" leaves it to that.
        owner: Who asks: salts the prefix cache and shares the queue fairly.

    Raises:
        RequestError: A field's value cannot be used; ``param`` names it.
    """
    messages, tools = conversation_of(body)
    is_begun = messages[-1].role == "assistant" and not messages[-1].tool_calls
    return GenerationRequest(
        id=request_id,
        protocol=PROTOCOL,
        model=body.model,
        messages=messages,
        sampling=_sampling(body),
        tools=tools,
        tool_choice=_tool_choice(body),
        constraint=_constraint(body),
        think=thinking_of(body, can_think),
        thinking_budget=body.thinking.budget_tokens if body.thinking is not None else None,
        cache_salt=owner,
        continue_final_message=is_begun,
        dry_run=bool(body.dry_run),
        priority_key=owner,
    )


def conversation_of(body: CountBody) -> tuple[list[Message], list[ToolDefinition]]:
    """Return the messages and the tools that make up the prompt.

    Raises:
        RequestError: A block or a tool has a wrong form. ``Unsupported`` for what only Anthropic runs.
    """
    for name in ("mcp_servers", "container"):
        if getattr(body, name):
            raise Unsupported(
                f"{name} is not supported: this server runs no tools; declare functions of your own",
                param=name,
            )
    return messages_from(body.system, body.messages), [
        _tool(f"tools[{index}]", tool) for index, tool in enumerate(body.tools or ())
    ]


def thinking_of(body: CountBody, can_think: bool) -> bool | ThinkLevel | None:
    """Return what the request's ``thinking`` asks for; absent leaves it to the server's default.

    Raises:
        RequestError: A type or an effort of no known name.
    """
    effort = _effort(body)
    if body.thinking is None:
        return None
    match body.thinking.type:
        case "disabled":
            return False
        case "enabled":
            return effort or True
        case "adaptive":
            return (effort or True) if can_think else None
        case kind:
            raise RequestError(
                f"thinking.type is {kind!r}, expected enabled, disabled or adaptive", param="thinking.type"
            )


def _effort(body: CountBody) -> ThinkLevel | None:
    effort = body.output_config.effort if body.output_config is not None else None
    if effort is None:
        return None
    if effort not in EFFORTS:
        raise RequestError(
            f"output_config.effort is {effort!r}, expected one of {', '.join(EFFORTS)}",
            param="output_config.effort",
        )
    return EFFORTS[effort]


def _tool(place: str, tool: Tool) -> ToolDefinition:
    if tool.type not in (None, "custom"):
        raise Unsupported(
            f"{place} has type {tool.type!r}: only functions that you run are supported (type 'custom')",
            param=place,
        )
    if tool.input_schema is None:
        raise RequestError(f"{place}.input_schema is required", param=f"{place}.input_schema")
    return ToolDefinition(tool.name, tool.description or "", tool.input_schema)


def _tool_choice(body: CountBody) -> ToolChoice:
    choice = body.tool_choice
    if choice is None:
        return ToolChoice()
    if choice.type not in CHOICES:
        raise RequestError(
            f"tool_choice.type is {choice.type!r}, expected {', '.join(CHOICES)}", param="tool_choice"
        )
    name = choice.name if choice.type == "tool" else None
    if choice.type == "tool" and name not in [tool.name for tool in body.tools or ()]:
        raise RequestError(f"tool_choice names {name!r}, which is not among tools", param="tool_choice")
    mode = cast("Any", CHOICES[choice.type])
    return ToolChoice(mode=mode, name=name, parallel=not choice.disable_parallel_tool_use)


def _constraint(body: CountBody) -> Constraint | None:
    given = body.output_config.format if body.output_config is not None else None
    given = given or body.output_format
    if given is None:
        return None
    schema = given.get("schema")
    if given.get("type") != "json_schema" or not isinstance(schema, dict):
        raise RequestError(
            "output_config.format needs type 'json_schema' and a schema", param="output_config.format"
        )
    return Constraint(kind="schema", value=schema, name="format")


def _sampling(body: MessagesBody) -> Sampling:
    given = {
        name: value
        for name in ("temperature", "top_p", "top_k")
        if (value := getattr(body, name)) is not None
    }
    return Sampling(
        max_tokens=body.max_tokens, stop=[text for text in body.stop_sequences or () if text], **given
    )
