"""Turning a value that a model wrote as text into what the tool's schema declares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

__all__ = ["coerce", "is_text_only", "pointed_at", "property_schema", "resolved"]

MAX_REFERENCES = 32


def property_schema(parameters: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the schema of one parameter; empty when there is none."""
    properties = parameters.get("properties")
    found = cast("dict[str, Any]", properties).get(key) if isinstance(properties, dict) else None
    return resolved(cast("dict[str, Any]", found), parameters) if isinstance(found, dict) else {}


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a schema refers to, when it is but a reference into ``root``; else the schema."""
    found = dict(schema)
    for _ in range(MAX_REFERENCES):
        reference, only = found.get("$ref"), found.get("allOf")
        if isinstance(reference, str):
            inner = pointed_at(root, reference)
        elif isinstance(only, list) and len(cast("Any", only)) == 1:
            inner = cast("Any", only)[0]
        else:
            return found
        if not isinstance(inner, dict):
            break
        found = cast("dict[str, Any]", inner)
    return {}


def pointed_at(root: Any, reference: str) -> Any:
    """Return what a local reference points to; ``None`` when that is nothing."""
    found = root
    for part in reference.removeprefix("#").strip("/").split("/") if reference.strip("#/") else ():
        step = part.replace("~1", "/").replace("~0", "~")
        found = cast("dict[str, Any]", found).get(step) if isinstance(found, dict) else None
    return found


def is_text_only(schema: Mapping[str, Any]) -> bool:
    """Tell whether only strings are valid, so that a text is the value as it stands."""
    return _types(schema) == {"string"}


def coerce(text: str, schema: Mapping[str, Any]) -> Any:
    """Return the value that the text means under the schema; the text itself when nothing else fits."""
    types = _types(schema)
    if types == {"string"}:
        return text
    if text.strip().lower() == "null" and (not types or "null" in types):
        return None
    for name, read in _READERS.items():
        if name in types and (value := read(text.strip())) is not None:
            return value
    if "string" in types:
        return text
    value = _json(text)
    return text if value is None or isinstance(value, str) else value


def _types(schema: Mapping[str, Any]) -> set[str]:
    declared = schema.get("type")
    names: list[object] = cast("list[object]", declared) if isinstance(declared, list) else [declared]
    found = {name for name in names if isinstance(name, str)}
    for word in ("anyOf", "oneOf"):
        branches = schema.get(word)
        if isinstance(branches, list):
            for branch in cast("list[object]", branches):
                found |= _types(cast("dict[str, Any]", branch)) if isinstance(branch, dict) else set()
    if not found and isinstance(schema.get("enum"), list):
        values = cast("list[object]", schema["enum"])
        return {"string"} if all(isinstance(value, str) for value in values) else found
    return found


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _integer(text: str) -> int | None:
    value = _number(text)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int) else None


def _number(text: str) -> int | float | None:
    value = _json(text)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _array(text: str) -> list[object] | None:
    value = _json(text)
    return cast("list[object]", value) if isinstance(value, list) else None


def _object(text: str) -> dict[str, Any] | None:
    value = _json(text)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _json(text: str) -> Any:
    try:
        return json.loads(text, strict=False, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_READERS: dict[str, Callable[[str], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "array": _array,
    "object": _object,
}
