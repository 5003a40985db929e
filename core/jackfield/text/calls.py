"""What all readers of tool calls share: numbering, the way back to content, and the events of a call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from jackfield.service.requests import ToolDefinition
from jackfield.text.contract import ArgumentsDelta, CallDone, CallStarted, ParsedEvent
from jackfield.text.regions import Region

__all__ = ["CallScope", "GrowingCall", "arguments_of", "lenient_json", "named_calls", "whole_call"]


_NO_WORD = re.compile(r"\W")


@dataclass
class CallScope:
    """One generation's calls.

    Attributes:
        tools: What was offered.
        after_call: Returns the region that follows a call.
        after_text: Returns the region that follows what looked like a call and was given back as text.
        num_calls: Calls begun so far; the next one's index.
    """

    tools: Sequence[ToolDefinition]
    after_call: Callable[[], Region]
    after_text: Callable[[], Region]
    num_calls: int = field(default=0)

    def begin(self) -> int:
        """Return the index of a new call."""
        self.num_calls += 1
        return self.num_calls - 1

    def schema_of(self, name: str) -> dict[str, Any]:
        """Return a tool's parameter schema; empty for a name that was not offered."""
        found = [tool.parameters for tool in self.tools if tool.name == name]
        return found[0] if found else {}

    def offered_name(self, name: str) -> str:
        """Return the offered tool's name that a model wrote with other punctuation; else what it wrote."""
        spelt = _NO_WORD.sub("_", name)
        fitting = [tool.name for tool in self.tools if _NO_WORD.sub("_", tool.name) == spelt]
        return name if self.knows(name) or not fitting else fitting[0]

    def knows(self, name: str) -> bool:
        """Tell whether a tool of that name was offered."""
        return any(tool.name == name for tool in self.tools)


class GrowingCall:
    """A call whose parameters come one by one; its arguments are written as JSON while they do.

    Attributes:
        started: The first event.
        parameters: The schema of its parameters.
    """

    def __init__(self, scope: CallScope, name: str) -> None:
        self.parameters = scope.schema_of(name)
        self._name = name
        self._index = scope.begin()
        self._json = ""
        self._is_ended = False
        self.started: ParsedEvent = CallStarted(self._index, name)

    def head(self, key: str) -> str:
        """Return what comes before a parameter's value."""
        separator = ", " if self._json else "{"
        return f"{separator}{json.dumps(key, ensure_ascii=False)}: "

    def write(self, text: str) -> ParsedEvent:
        """Go on with that text."""
        self._json += text
        return ArgumentsDelta(self._index, text)

    def end(self) -> list[ParsedEvent]:
        """End with the parameters there are; only the first time."""
        if self._is_ended:
            return []
        self._is_ended = True
        end = self.write("}" if self._json else "{}")
        return [end, CallDone(self._index, self._name, json.loads(self._json))]


def whole_call(scope: CallScope, name: str, arguments: dict[str, Any]) -> list[ParsedEvent]:
    """Return the events of a call that is complete already."""
    index = scope.begin()
    text = json.dumps(arguments, ensure_ascii=False)
    return [CallStarted(index, name), ArgumentsDelta(index, text), CallDone(index, name, arguments)]


def arguments_of(value: object) -> dict[str, Any] | None:
    """Return a call's arguments from what a model wrote; ``None`` when they are no object."""
    if isinstance(value, str):
        value = lenient_json(value) if value.strip() else {}
    if value is None:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def lenient_json(text: str) -> object:
    """Parse JSON that may hold raw newlines in strings and something behind the value; ``None`` if it is none."""
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None
    return value


def named_calls(value: object) -> list[tuple[str, dict[str, Any]]] | None:
    """Return names and arguments from a call object or a list of them; ``None`` when it is neither."""
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    calls = [_named_call(item) for item in items]
    return [call for call in calls if call is not None] if calls and None not in calls else None


def _named_call(item: object) -> tuple[str, dict[str, Any]] | None:
    if not isinstance(item, dict):
        return None
    fields = cast("dict[str, object]", item)
    name = fields.get("name")
    arguments = arguments_of(fields.get("arguments", fields.get("parameters")))
    if not isinstance(name, str) or not name or arguments is None:
        return None
    return name, arguments
