"""What a parameter's text may be where a family writes values without quotes: texts as they are, the rest as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from jackfield.text.coercion import resolved
from jackfield.text.grammars import regex_of

__all__ = ["RawValue", "text_pattern"]

ANY_TEXT = "(?s:.*)"
NO_TEXT_TYPES = ("null", "boolean", "integer", "number", "array", "object")
MAX_REPEATS = 1_000
_UNSAYABLE = re.compile(r"\(\?|\\[1-9bBpPkuUx]|(?<!\\)/|[\n\r]")


@dataclass(frozen=True)
class RawValue:
    """The values of one schema.

    Attributes:
        texts: Patterns of those that are texts.
        schema: Of those that are none; ``None`` when there are none.
    """

    texts: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None

    @staticmethod
    def of(schema: Mapping[str, Any], root: Mapping[str, Any]) -> RawValue:
        """Return the values of a schema that stands inside of ``root``, whose definitions it may refer to."""
        return _of(resolved(schema, root), root)

    @property
    def pattern(self) -> str:
        """All texts in one pattern; empty when there are none."""
        texts = (ANY_TEXT,) if ANY_TEXT in self.texts else self.texts
        return f"({'|'.join(texts)})" if texts else ""


def text_pattern(schema: Mapping[str, Any]) -> str:
    """Return the pattern of a schema's texts, as far as a grammar can say it."""
    wanted = schema.get("pattern")
    if isinstance(wanted, str):
        return _whole(wanted) if _UNSAYABLE.search(wanted) is None and _compiles(wanted) else ANY_TEXT
    least, most = _count(schema, "minLength"), _count(schema, "maxLength")
    if (not least and most is None) or max(least or 0, most or 0) > MAX_REPEATS:
        return ANY_TEXT
    return f"(?s:.{{{least or 0},{'' if most is None else most}}})"


def _of(schema: Mapping[str, Any], root: Mapping[str, Any]) -> RawValue:
    for word in ("anyOf", "oneOf"):
        branches = schema.get(word)
        if isinstance(branches, list) and branches:
            inner = [cast("dict[str, Any]", one) for one in cast("Any", branches) if isinstance(one, dict)]
            found = [RawValue.of(branch, root) for branch in inner]
            return _joined(found, root)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        return _of_values(cast("list[object]", values))
    types = schema.get("type")
    names = cast("list[object]", types) if isinstance(types, list) else [types]
    if types is None:
        return (
            RawValue((), _with_definitions(schema, root)) if "properties" in schema else RawValue((ANY_TEXT,))
        )
    others = [name for name in NO_TEXT_TYPES if name in names]
    texts = (text_pattern(schema),) if "string" in names else ()
    return RawValue(texts, {**_with_definitions(schema, root), "type": others} if others else None)


def _of_values(values: list[object]) -> RawValue:
    texts = tuple(regex_of(value) for value in values if isinstance(value, str))
    others = [value for value in values if not isinstance(value, str)]
    return RawValue(texts, {"enum": others} if others else None)


def _joined(found: list[RawValue], root: Mapping[str, Any]) -> RawValue:
    texts = tuple(dict.fromkeys(text for value in found for text in value.texts))
    schemas = [value.schema for value in found if value.schema is not None]
    return RawValue(texts, _with_definitions({"anyOf": schemas}, root) if schemas else None)


def _with_definitions(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    kept = {word: root[word] for word in ("$defs", "definitions") if word in root}
    return {**schema, **kept}


def _count(schema: Mapping[str, Any], name: str) -> int | None:
    value = schema.get(name)
    return value if isinstance(value, int) else None


def _whole(pattern: str) -> str:
    """Return a pattern for whole texts from one that may match anywhere inside."""
    head = "" if pattern.startswith("^") else ANY_TEXT
    is_ended = pattern.endswith("$") and not pattern.endswith("\\$")
    inner = pattern.removeprefix("^").removesuffix("$" if is_ended else "")
    is_plain = not re.search(r"(?<!\\)[\^$]", re.sub(r"\[\^", "[", inner))
    return f"{head}({inner}){'' if is_ended else ANY_TEXT}" if is_plain else ANY_TEXT


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
