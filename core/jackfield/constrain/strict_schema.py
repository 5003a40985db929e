"""The strict subset of JSON Schema that the contract's ``json_schema`` accepts, as a list of problems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

__all__ = ["strict_schema_problems"]

MAX_PROBLEMS = 16
MAX_DEPTH = 10
MAX_PROPERTIES = 5_000
MAX_ENUM_VALUES = 1_000
MAX_TEXT = 120_000
TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
REJECTED_KEYWORDS = (
    "allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "minLength", "maxLength",
    "pattern", "format", "minimum", "maximum", "multipleOf", "patternProperties", "minItems", "maxItems",
)  # fmt: skip


def strict_schema_problems(schema: Any) -> list[str]:
    """Return what is wrong with a schema, at most 16 sentences, each beginning with the JSON path.

    Every object needs ``additionalProperties: false`` and all its properties in ``required``; arrays need
    ``items``; the root is an object. Sizes are bounded before anything is compiled.
    """
    problems: list[str] = []
    for problem in _Checker().check_root(schema):
        problems.append(problem)
        if len(problems) == MAX_PROBLEMS:
            break
    return problems


class _Checker:
    """Walks one schema and counts as it goes."""

    def __init__(self) -> None:
        self._num_properties = 0
        self._num_enum_values = 0
        self._text = 0

    def check_root(self, schema: Any) -> Iterator[str]:
        if not isinstance(schema, dict):
            yield "$: the schema must be an object"
            return
        root = cast("dict[str, Any]", schema)
        if root.get("type") != "object" or "anyOf" in root:
            yield "$: the root must have type 'object' and no anyOf"
        yield from self._check(root, "$", 1)

    def _check(self, schema: Any, path: str, depth: int) -> Iterator[str]:
        if not isinstance(schema, dict):
            yield f"{path}: expected a schema object, got {type(schema).__name__}"
            return
        if depth > MAX_DEPTH:
            yield f"{path}: nested deeper than {MAX_DEPTH}"
            return
        node = cast("dict[str, Any]", schema)
        yield from self._check_words(node, path)
        yield from self._check_object(node, path, depth)
        yield from self._check_array(node, path, depth)
        for keyword in ("$defs", "definitions"):
            yield from self._check_named(node.get(keyword), f"{path}.{keyword}", depth)
        for index, branch in enumerate(_list(node.get("anyOf"))):
            yield from self._check(branch, f"{path}.anyOf[{index}]", depth)

    def _check_words(self, node: dict[str, Any], path: str) -> Iterator[str]:
        for keyword in REJECTED_KEYWORDS:
            if keyword in node:
                yield f"{path}: keyword {keyword!r} is not supported"
        reference = node.get("$ref")
        if reference is not None and not _is_local(reference):
            yield f"{path}: $ref {reference!r} is not local, expected '#' or '#/…'"
        kinds = node.get("type")
        for kind in [kinds] if isinstance(kinds, str) else _list(kinds):
            if kind not in TYPES:
                yield f"{path}: unknown type {kind!r}"
        if not any(keyword in node for keyword in ("type", "$ref", "anyOf", "enum", "const")):
            yield f"{path}: type is missing"
        yield from self._count_enum(_list(node.get("enum")), path)

    def _count_enum(self, values: list[Any], path: str) -> Iterator[str]:
        self._num_enum_values += len(values)
        self._text += sum(len(value) for value in values if isinstance(value, str))
        if self._num_enum_values > MAX_ENUM_VALUES:
            yield f"{path}: more than {MAX_ENUM_VALUES} enum values"
        if self._text > MAX_TEXT:
            yield f"{path}: names and enum values longer than {MAX_TEXT} characters together"

    def _check_object(self, node: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        if not _has_type(node, "object") and "properties" not in node:
            return
        if node.get("additionalProperties") is not False:
            yield f"{path}: additionalProperties must be false"
        properties = node.get("properties", {})
        if not isinstance(properties, dict):
            yield f"{path}.properties: expected an object"
            return
        names = list(cast("dict[str, Any]", properties))
        self._num_properties += len(names)
        self._text += sum(map(len, names))
        if self._num_properties > MAX_PROPERTIES:
            yield f"{path}: more than {MAX_PROPERTIES} properties"
            return
        required = _list(node.get("required"))
        for name in names:
            if name not in required:
                yield f"{path}: required must list {name!r}"
        yield from self._check_named(cast("Any", properties), path, depth)

    def _check_named(self, schemas: Any, path: str, depth: int) -> Iterator[str]:
        if isinstance(schemas, dict):
            for name, schema in cast("dict[str, Any]", schemas).items():
                yield from self._check(schema, f"{path}.{name}", depth + 1)

    def _check_array(self, node: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        if _has_type(node, "array"):
            if "items" not in node:
                yield f"{path}: array needs items"
            else:
                yield from self._check(node["items"], f"{path}.items", depth + 1)


def _has_type(node: dict[str, Any], kind: str) -> bool:
    kinds = node.get("type")
    return kinds == kind or kind in _list(kinds)


def _is_local(reference: Any) -> bool:
    return isinstance(reference, str) and (reference == "#" or reference.startswith("#/"))


def _list(value: Any) -> list[Any]:
    return [*cast("Any", value)] if isinstance(value, list) else []
