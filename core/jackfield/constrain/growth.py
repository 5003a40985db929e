"""How much longer the way out of a grammar can get with one more token.

A token can open what must be closed again: an object with required members, a list that wants items. The bound is the
longest of the shortest values of all schemas inside of a schema, in bytes, each of which a token may take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from jackfield.text.coercion import pointed_at

__all__ = ["UNKNOWN_GROWTH", "largest_growth"]

UNKNOWN_GROWTH = 1_000_000
"""For grammars that are not looked into: the way out is asked for each token."""

BRACKETS = 16
"""Bytes that one token may open, each to be closed again."""

CALL_FRAME = 144
"""Bytes of the tags around a call, and of its name."""

MEMBER_FRAME = 80
"""Bytes of the tags around a member, where a family writes it so."""


def largest_growth(tools: Sequence[Any], form: Any = None) -> int:
    """Return a bound for a grammar of calls with parameters of these schemas, of a form, and of text."""
    calls = [CALL_FRAME + _Lengths(schema, MEMBER_FRAME).of_all() for schema in tools]
    # the way out of a form is known from its start: only what is inside can add to it
    inside = _Lengths(form, MEMBER_FRAME if tools else 4).of_inside() if form is not None else 0
    return BRACKETS + max([*calls, inside])


class _Lengths:
    """The shortest values of a schema and of everything in it; lengths of recursive ones count once."""

    def __init__(self, root: Any, member_frame: int) -> None:
        self._root = root
        self._member_frame = member_frame
        self._known: dict[int, int] = {}

    def of_all(self) -> int:
        """Return the longest, the whole schema's own among them."""
        return max(self._shortest(self._root), self.of_inside())

    def of_inside(self) -> int:
        """Return the longest of what stands inside."""
        largest = 0
        pending = [self._root]
        while pending:
            item = pending.pop()
            if isinstance(item, dict):
                largest = max(largest, self._shortest(item)) if item is not self._root else largest
                largest = max(largest, self._referred(cast("dict[str, Any]", item)))
                pending += cast("dict[str, Any]", item).values()
            elif isinstance(item, list):
                pending += cast("Any", item)
        return largest

    def _referred(self, schema: dict[str, Any]) -> int:
        reference = schema.get("$ref")
        return self._shortest(pointed_at(self._root, reference)) if isinstance(reference, str) else 0

    def _shortest(self, schema: Any) -> int:
        if not isinstance(schema, dict):
            return 4
        key = id(cast("Any", schema))
        if key not in self._known:
            self._known[key] = 4  # of a recursion
            self._known[key] = self._measured(cast("dict[str, Any]", schema))
        return self._known[key]

    def _measured(self, schema: dict[str, Any]) -> int:
        if "const" in schema:
            return _size(schema["const"])
        if isinstance(schema.get("enum"), list):
            return max((_size(value) for value in schema["enum"]), default=0)
        if isinstance(schema.get("$ref"), str):
            return self._shortest(pointed_at(self._root, schema["$ref"]))
        branches: list[Any] = [schema.get(word) for word in ("anyOf", "oneOf", "allOf")]
        inner = [
            self._shortest(branch)
            for found in branches
            if isinstance(found, list)
            for branch in cast("Any", found)
        ]
        return (
            sum(inner) + self._of_object(schema) + self._of_array(schema) + _number(schema, "minLength") + 4
        )

    def _of_object(self, schema: dict[str, Any]) -> int:
        properties = schema.get("properties")
        known = cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}
        required = schema.get("required")
        names = (
            [name for name in cast("Any", required) if isinstance(name, str)]
            if isinstance(required, list)
            else []
        )
        return sum(self._member_frame + _size(name) + self._shortest(known.get(name)) for name in names)

    def _of_array(self, schema: dict[str, Any]) -> int:
        return _number(schema, "minItems") * (1 + self._shortest(schema.get("items")))


def _size(value: Any) -> int:
    return len(msgspec.json.encode(value))


def _number(schema: dict[str, Any], name: str) -> int:
    value = schema.get(name)
    return value if isinstance(value, int) else 0
