"""The schema that a tool's arguments are held to: its own, as far as a grammar can say it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from jackfield.constrain.forms import COMPACT, LENIENT, schema_problem
from jackfield.constrain.limits import check_schema
from jackfield.service.requests import ToolDefinition

__all__ = ["held_tool"]

ANY_OBJECT = {"type": "object"}
PARAM = "tools"
OPENING = ("additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf")
"""Keywords that may name members elsewhere."""


def held_tool(tool: ToolDefinition) -> tuple[ToolDefinition, str]:
    """Return the tool with parameters that a grammar can hold, and what had to be left out, in words.

    Members that a schema does not name are left out where it does not ask for them: models invent them.

    Raises:
        RequestError: The schema is too large or too deep.
    """
    check_schema(tool.parameters, PARAM)
    wanted = _closed({**ANY_OBJECT, **tool.parameters})
    problem = schema_problem(wanted, COMPACT)
    if not problem:
        return replace(tool, parameters=wanted), ""
    if not schema_problem(wanted, LENIENT):
        return replace(tool, parameters=wanted), _note(tool, "all of its schema", problem)
    return replace(tool, parameters=ANY_OBJECT), _note(tool, "its schema", problem)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    is_closed = "properties" in schema and not any(word in schema for word in OPENING)
    return {**schema, "type": "object", **({"additionalProperties": False} if is_closed else {})}


def _note(tool: ToolDefinition, what: str, problem: str) -> str:
    return f"arguments of tool {tool.name!r} are not held to {what}: {problem}"
