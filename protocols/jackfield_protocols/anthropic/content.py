"""Turns of blocks to messages: one turn may hold the results of several calls and a question."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any, cast

from jackfield.errors import RequestError, Unsupported
from jackfield.service.requests import Image, Message, ToolCall
from jackfield_protocols.anthropic.bodies import Blocks, InputMessage

__all__ = ["messages_from"]

ROLES = ("user", "assistant", "system")


def messages_from(system: str | Blocks | None, turns: Sequence[InputMessage]) -> list[Message]:
    """Translate a conversation.

    Raises:
        RequestError: A block has a wrong form; ``param`` names it. ``Unsupported`` for a kind we cannot read.
    """
    messages = _system(system)
    names: dict[str, str] = {}
    for index, turn in enumerate(turns):
        place = f"messages[{index}]"
        if turn.role not in ROLES:
            raise RequestError(
                f"{place}.role is {turn.role!r}, expected 'user' or 'assistant'", param=f"{place}.role"
            )
        messages += _turn(turn, place, names)
    return messages


def _system(system: str | Blocks | None) -> list[Message]:
    if not system:
        return []
    if isinstance(system, str):
        return [Message("system", system)]
    texts = [_text(block, f"system[{index}]") for index, block in enumerate(system)]
    return [Message("system", "\n".join(texts))]


def _turn(turn: InputMessage, place: str, names: dict[str, str]) -> list[Message]:
    """Return a turn's messages; ``names`` remembers which function each call's id stands for."""
    if isinstance(turn.content, str):
        return [Message(turn.role, turn.content)]
    blocks = [(f"{place}.content[{index}]", block) for index, block in enumerate(turn.content)]
    if turn.role == "assistant":
        return [_answer(blocks, names)]
    results = [_result(block, where, names) for where, block in blocks if block.get("type") == "tool_result"]
    rest = [(where, block) for where, block in blocks if block.get("type") != "tool_result"]
    return [*results, _question(turn.role, rest)] if rest or not results else results


def _answer(blocks: Iterable[tuple[str, dict[str, Any]]], names: dict[str, str]) -> Message:
    """Return an earlier answer; its texts are joined as they were generated, without anything between."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for where, block in blocks:
        match block.get("type"):
            case "text":
                texts.append(_text(block, where))
            case "thinking":
                thoughts.append(_string(block, "thinking", where))
            case "redacted_thinking":  # for Anthropic's eyes only
                continue
            case "tool_use":
                calls.append(_call(block, where))
                names[calls[-1].id] = calls[-1].name
            case kind:
                raise Unsupported(
                    f"{where} has type {kind!r}, expected text, thinking or tool_use", param=where
                )
    return Message("assistant", "".join(texts), thinking="".join(thoughts) or None, tool_calls=calls)


def _question(role: str, blocks: Iterable[tuple[str, dict[str, Any]]]) -> Message:
    texts, images = _read(blocks)
    return Message(role, "\n".join(texts), images=images)


def _result(block: dict[str, Any], where: str, names: dict[str, str]) -> Message:
    call_id = _string(block, "tool_use_id", where)
    content = block.get("content")
    texts: list[str] = []
    images: list[Image] = []
    if isinstance(content, str):
        texts.append(content)
    elif isinstance(content, list):
        blocks = cast("Blocks", content)
        parts = [(f"{where}.content[{i}]", part) for i, part in enumerate(blocks)]
        texts, images = _read(parts)
    elif content is not None:
        raise RequestError(f"{where}.content must be text or blocks", param=where)
    text = "\n".join(texts)
    if block.get("is_error"):
        text = f"Error: {text}"
    return Message("tool", text, tool_call_id=call_id, name=names.get(call_id), images=images)


def _read(blocks: Iterable[tuple[str, dict[str, Any]]]) -> tuple[list[str], list[Image]]:
    texts: list[str] = []
    images: list[Image] = []
    for where, block in blocks:
        kind = block.get("type") if isinstance(cast("Any", block), dict) else None
        if kind == "text":
            texts.append(_text(block, where))
        elif kind == "image":
            images.append(_image(block, where))
        elif kind == "document":
            texts.append(_document(block, where))
        else:
            raise Unsupported(f"{where} has type {kind!r}, expected text, image or document", param=where)
    return texts, images


# ---- single blocks -------------------------------------------------------------------------------


def _text(block: dict[str, Any], where: str) -> str:
    return _string(block, "text", where)


def _string(block: dict[str, Any], name: str, where: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        raise RequestError(f"{where}.{name} must be a string", param=where)
    return value


def _call(block: dict[str, Any], where: str) -> ToolCall:
    arguments = block.get("input", {})
    if not isinstance(arguments, dict):
        raise RequestError(f"{where}.input must be an object", param=where)
    return ToolCall(
        _string(block, "name", where), cast("dict[str, Any]", arguments), _string(block, "id", where)
    )


def _source(block: dict[str, Any], where: str) -> dict[str, Any]:
    source = block.get("source")
    if not isinstance(source, dict):
        raise RequestError(f"{where}.source must be an object", param=where)
    return cast("dict[str, Any]", source)


def _image(block: dict[str, Any], where: str) -> Image:
    """Take base64 only: to fetch a URL for a client would be to reach into the server's network."""
    source = _source(block, where)
    data = source.get("data")
    if source.get("type") == "url" and str(source.get("url")).startswith("data:"):
        data = str(source["url"]).partition(";base64,")[2]
    elif source.get("type") != "base64":
        raise Unsupported(f"{where}.source must be base64 data; URLs are not fetched", param=where)
    try:
        return Image(base64.b64decode(data if isinstance(data, str) else "-", validate=True))
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"{where}.source.data is not valid base64", param=where) from error


def _document(block: dict[str, Any], where: str) -> str:
    source = _source(block, where)
    if source.get("type") != "text":
        raise Unsupported(f"{where} is a document that is not plain text; send its text", param=where)
    text = _string(source, "data", f"{where}.source")
    title = block.get("title")
    return f"{title}\n{text}" if isinstance(title, str) and title else text
