"""Gemma's notation of values, as a grammar: what arguments of a schema look like.

    {city:<|"|>Paris<|"|>,days:3,tags:[<|"|>a<|"|>]}

Members come in alphabetical order, as the family's templates write them.
"""

from __future__ import annotations

from typing import Any, cast

from jackfield.text.coercion import resolved
from jackfield.text.grammars import GrammarWriter, quoted
from jackfield.text.raw_values import text_pattern
from jackfield.text.tagged_grammar import either

__all__ = ["QUOTE", "GemmaValues"]

QUOTE = '<|"|>'
EMPTY = '""'


class GemmaValues:
    """Writes what values of a schema look like in Gemma's notation."""

    def __init__(self, root: dict[str, Any], writer: GrammarWriter) -> None:
        self._root = root
        self._writer = writer
        self._quote = writer.tag(QUOTE)
        self._referred: dict[str, str] = {}
        writer.closers.append(QUOTE)

    def object_of(self, schema: dict[str, Any]) -> str:
        """Return what stands for an object: required members, and others where they may stand."""
        properties = schema.get("properties")
        if not isinstance(properties, dict) or not properties:
            is_empty = schema.get("additionalProperties") is False
            return '"{" "}"' if is_empty else f'"{{" ({self._any_pair()} ("," {self._any_pair()})*)? "}}"'
        known = cast("dict[str, Any]", properties)
        required = schema.get("required") or ()
        pairs = [(f"{quoted(f'{key}:')} {self.value(known[key])}", key in required) for key in sorted(known)]
        return f'"{{" {self._sequence(pairs)} "}}"'

    def value(self, schema: Any) -> str:
        """Return the rule of a value."""
        if not isinstance(schema, dict):
            return self._any()
        given = cast("dict[str, Any]", schema)
        reference = given.get("$ref")
        if not isinstance(reference, str):
            return self._writer.rule(self._written(resolved(given, self._root)), "value")
        if reference not in self._referred:
            self._referred[reference] = self._writer.reserved("value")
            body = self._written(resolved(given, self._root))
            self._writer.rules[self._referred[reference]] = body
        return self._referred[reference]

    def _written(self, schema: dict[str, Any]) -> str:
        for word in ("anyOf", "oneOf"):
            branches = schema.get(word)
            if isinstance(branches, list) and branches:
                return either([self.value(branch) for branch in cast("Any", branches)])
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list):
            return either([self._literal(value) for value in cast("list[object]", values)])
        types = schema.get("type", "object" if "properties" in schema else None)
        names = cast("list[object]", types) if isinstance(types, list) else [types]
        options = [self._typed(name, schema) for name in names if name is not None]
        return either(options) if options else self._any()

    def _typed(self, name: object, schema: dict[str, Any]) -> str:
        if name == "string":
            return f"{self._quote} {self._writer.free_to(QUOTE, text=text_pattern(schema))}"
        if name == "object":
            return self.object_of(schema)
        if name == "array":
            return self._array(schema)
        return self._writer.json({**schema, "type": name})

    def _array(self, schema: dict[str, Any]) -> str:
        item = self.value(schema.get("items"))
        least, most = schema.get("minItems") or 0, schema.get("maxItems")
        if most == 0:
            return '"[" "]"'
        more = f"{{{max(0, least - 1)},{'' if most is None else most - 1}}}"
        items = f'{item} ("," {item}){more}'
        return f'"[" {items} "]"' if least else f'"[" ({items})? "]"'

    def _sequence(self, pairs: list[tuple[str, bool]]) -> str:
        """Return pairs in order, those that are not required at will, with commas between them."""
        rest, begun = "", ""  # of what follows: behind nothing, and behind a pair
        for pair, is_required in reversed(pairs):
            first = f"{pair} {begun}"
            rest = first if is_required else either([first, rest or EMPTY])
            rest = self._writer.rule(rest, "members")
            following = f'"," {pair} {begun}'
            begun = self._writer.rule(
                following if is_required else f"{following} | {begun or EMPTY}", "members"
            )
        return rest

    def _literal(self, value: object) -> str:
        if isinstance(value, str):
            return f"{self._quote} {quoted(value) if value else ''} {self._quote}"
        return self._writer.json({"enum": [value]})

    def _any_pair(self) -> str:
        key = self._writer.terminal(r"/[a-zA-Z_][a-zA-Z0-9_-]{0,63}/")
        return self._writer.rule(f'{key} ":" {self._any()}', "pair")

    def _any(self) -> str:
        """Return the rule of any value."""
        if "any" not in self._referred:
            self._referred["any"] = name = self._writer.reserved("any")
            scalars = [self._typed(kind, {}) for kind in ("string", "number", "boolean", "null")]
            self._writer.rules[name] = either([*scalars, self.object_of({}), self._array({})])
        return self._referred["any"]
