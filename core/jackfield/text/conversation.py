"""From a request's messages to what a template is given, bent to what the template can do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from msgspec.structs import replace

from jackfield.service.requests import Message, ToolCall, ToolDefinition
from jackfield.text.capabilities import TemplateCapabilities
from jackfield.text.portable import portable

__all__ = ["template_messages", "template_tools"]


def template_tools(tools: Sequence[ToolDefinition]) -> list[dict[str, Any]] | None:
    """Return the tools as templates know them; ``None`` when there are none."""
    return [_tool(tool) for tool in tools] or None


def template_messages(
    messages: Sequence[Message], capabilities: TemplateCapabilities
) -> list[dict[str, Any]]:
    """Return the conversation as dicts of plain values that the template can show."""
    turns = [_with_known_role(message, capabilities) for message in messages]
    if not capabilities.takes_calls or not (capabilities.takes_results or capabilities.folds_results):
        turns = [_without_tools(message) for message in turns]
    turns = _merged(turns, "system")
    turns = _without_systems(turns, capabilities)
    if capabilities.must_alternate:
        turns = _merged(turns, "user")
    names = {call.id: call.name for message in turns for call in message.tool_calls if call.id}
    written = [_message(message, names, capabilities) for message in turns]
    return _folded(written) if capabilities.folds_results else written


def arguments_object(arguments: dict[str, Any] | str) -> dict[str, Any]:
    """Return a call's arguments as an object; a text that is none is wrapped in one."""
    if not isinstance(arguments, str):
        return arguments
    if not arguments.strip():
        return {}
    try:
        value: Any = portable(json.loads(arguments))
    except ValueError:
        value = arguments
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"arguments": value}


# ---- roles ----


def _with_known_role(message: Message, capabilities: TemplateCapabilities) -> Message:
    if message.role == "developer" and not capabilities.takes_developer:
        return replace(message, role="system")
    return message


def _merged(messages: Sequence[Message], role: str) -> list[Message]:
    """Join neighbours of that role with a blank line."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role == role:
            merged[-1] = _joined(merged[-1], message)
        else:
            merged.append(message)
    return merged


def _without_systems(messages: list[Message], capabilities: TemplateCapabilities) -> list[Message]:
    """Put the system messages that the template would lose or refuse in front of the next user's words."""
    if capabilities.takes_system and capabilities.takes_late_system:
        return messages
    kept: list[Message] = []
    pending: list[Message] = []
    for index, message in enumerate(messages):
        if message.role == "system" and not (index == 0 and capabilities.takes_system):
            pending.append(replace(message, role="user"))
        elif message.role == "user" and pending:
            kept.append(_joined(*pending, message))
            pending = []
        else:
            kept.append(message)
    return [*kept, _joined(*pending)] if pending else kept


def _joined(*messages: Message) -> Message:
    text = "\n\n".join(message.content for message in messages if message.content)
    return replace(messages[-1], content=text, images=[image for m in messages for image in m.images])


def _without_tools(message: Message) -> Message:
    """Write calls and results as text, for a template that knows neither."""
    if message.role == "tool":
        return Message("user", f"<tool_response>\n{message.content}\n</tool_response>")
    if not message.tool_calls:
        return message
    calls = [_call_text(call) for call in message.tool_calls]
    return replace(message, content="\n".join([*filter(None, [message.content]), *calls]), tool_calls=[])


def _call_text(call: ToolCall) -> str:
    value = {"name": call.name, "arguments": arguments_object(call.arguments)}
    return f"<tool_call>\n{json.dumps(value, ensure_ascii=False)}\n</tool_call>"


# ---- dicts ----


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _message(message: Message, names: dict[str, str], capabilities: TemplateCapabilities) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": _content(message, capabilities)}
    if message.thinking and capabilities.reasoning in ("reasoning_content", "thinking"):
        written[capabilities.reasoning] = message.thinking
    if message.tool_calls:
        written["tool_calls"] = [_call(call, capabilities) for call in message.tool_calls]
    name = message.name or names.get(message.tool_call_id or "")
    if name is not None:
        written["name"] = name
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    return written


def _content(message: Message, capabilities: TemplateCapabilities) -> str | list[dict[str, Any]]:
    reasoning = message.thinking if capabilities.reasoning == "part" else None
    if not (capabilities.needs_parts or reasoning or (message.images and capabilities.takes_parts)):
        return message.content
    parts: list[dict[str, Any]] = [{"type": "thinking", "thinking": reasoning}] if reasoning else []
    parts += [{"type": "image"} for _ in message.images]
    return [*parts, {"type": "text", "text": message.content}] if message.content or not parts else parts


def _call(call: ToolCall, capabilities: TemplateCapabilities) -> dict[str, Any]:
    arguments: dict[str, Any] | str = arguments_object(call.arguments)
    if capabilities.string_arguments:
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _folded(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Move tool messages into the assistant message they answer."""
    folded: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool" and folded and folded[-1]["role"] == "assistant":
            response = {"name": message.get("name", ""), "response": message["content"]}
            folded[-1].setdefault("tool_responses", []).append(response)
        else:
            folded.append(message)
    return folded
