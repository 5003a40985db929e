"""Input items to messages: thoughts, texts and calls of one turn become one message again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from jackfield.errors import RequestError, Unsupported
from jackfield.service.requests import Image, Message, ToolCall
from jackfield_protocols.openai.content import content_of, object_or_text

__all__ = ["FindItem", "messages_from"]

FindItem = Callable[[str], dict[str, Any] | None]
ROLES = ("user", "assistant", "system", "developer")


def messages_from(given: str | list[dict[str, Any]], find_item: FindItem) -> list[Message]:
    """Translate ``input``.

    Args:
        find_item: Returns an earlier response's item by its id, for references.

    Raises:
        RequestError: An item has a wrong form; ``param`` names it. ``Unsupported`` for a kind we cannot read.
    """
    if isinstance(given, str):
        return [Message("user", given)]
    turns = _Turns(find_item)
    for index, item in enumerate(given):
        turns.add(item, f"input[{index}]")
    return turns.finish()


class _Turns:
    """Messages so far, and the assistant's turn that is being put together."""

    def __init__(self, find_item: FindItem) -> None:
        self._find_item = find_item
        self._messages: list[Message] = []
        self._names: dict[str, str] = {}
        self._thinking: list[str] = []
        self._texts: list[str] = []
        self._calls: list[ToolCall] = []

    def add(self, item: dict[str, Any], place: str) -> None:
        """Take one item."""
        kind = item.get("type") or ("message" if "role" in item else "item_reference")
        match kind:
            case "message":
                self._add_message(item, place)
            case "function_call":
                call = _call(item, place)
                self._names[call.id] = call.name
                self._calls.append(call)
            case "function_call_output":
                self._add_result(item, place)
            case "reasoning":
                if self._texts or self._calls:
                    self._end_turn()
                self._thinking.append(_thought(item))
            case "item_reference":
                self._add_reference(item, place)
            case _:
                raise Unsupported(
                    f"{place} has type {kind!r}, expected message, function_call, function_call_output,"
                    " reasoning or item_reference",
                    param=place,
                )

    def finish(self) -> list[Message]:
        """Return all messages."""
        self._end_turn()
        return self._messages

    def _add_message(self, item: dict[str, Any], place: str) -> None:
        role = item.get("role")
        if role not in ROLES:
            raise RequestError(
                f"{place}.role is {role!r}, expected one of {', '.join(ROLES)}", param=f"{place}.role"
            )
        text, images = content_of(_content(item, "content", place), place)
        if role == "assistant":
            if self._calls:
                self._end_turn()
            self._texts.append(text)
            return
        self._end_turn()
        self._messages.append(Message(role, text, images=images))

    def _add_result(self, item: dict[str, Any], place: str) -> None:
        call_id = _string(item, "call_id", place)
        images: list[Image] = []
        text, images = content_of(_content(item, "output", place), place)
        self._end_turn()
        name = self._names.get(call_id)
        self._messages.append(Message("tool", text, tool_call_id=call_id, name=name, images=images))

    def _add_reference(self, item: dict[str, Any], place: str) -> None:
        item_id = _string(item, "id", place)
        found = self._find_item(item_id)
        if found is None:
            raise RequestError(f"{place} refers to {item_id[:64]!r}, which is not stored here", param=place)
        self.add(found, place)

    def _end_turn(self) -> None:
        if not (self._thinking or self._texts or self._calls):
            return
        thinking = "".join(self._thinking) or None
        answer = Message("assistant", "".join(self._texts), thinking=thinking, tool_calls=self._calls)
        self._messages.append(answer)
        self._thinking, self._texts, self._calls = [], [], []


def _string(item: dict[str, Any], name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise RequestError(f"{place}.{name} must be a string", param=f"{place}.{name}")
    return value


def _content(item: dict[str, Any], name: str, place: str) -> str | list[dict[str, Any]] | None:
    value: Any = item.get(name)
    is_parts = isinstance(value, list) and all(isinstance(part, dict) for part in cast("list[object]", value))
    if value is None or isinstance(value, str) or is_parts:
        return cast("str | list[dict[str, Any]] | None", value)
    raise RequestError(f"{place}.{name} must be text or a list of parts", param=f"{place}.{name}")


def _call(item: dict[str, Any], place: str) -> ToolCall:
    arguments = object_or_text(_string(item, "arguments", place))
    return ToolCall(_string(item, "name", place), arguments, _string(item, "call_id", place))


def _thought(item: dict[str, Any]) -> str:
    """Return the thought itself where it was sent, else its summary; what is encrypted is not ours."""
    parts: list[Any] = cast("list[Any]", item.get("content") or item.get("summary") or [])
    texts = [cast("dict[str, Any]", part).get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))
