"""Bounds on constraints, checked by counting before anything is compiled."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from llguidance._lib import LLParserLimits

from jackfield.errors import RequestError

__all__ = ["LIMITS", "check_schema", "check_text"]

LIMITS = LLParserLimits(
    max_items_in_row=2_000,
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    max_lexer_states=50_000,
    max_grammar_size=100_000,
    verbose_errors=False,
)

MAX_SCHEMA_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_NODES = 1_000
MAX_ENUM_VALUES = 1_000
MAX_REPEATS = 10_000
MAX_TEXT_BYTES = 64 * 1024
MAX_GROUPS = 1_000
MAX_GBNF_RULES = 300
"""Converting a chain of rules takes time with the square of its length: 0.2 s for so many."""

PARAM = "response_format"
REPEATS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")


def check_schema(schema: Any, param: str = PARAM) -> None:
    """Refuse a schema that is no object, or whose size could cost more than an answer.

    Args:
        param: The field of the request to name.

    Raises:
        RequestError: Says which bound, and by how much.
    """
    if not isinstance(schema, dict):
        raise RequestError(f"the schema is {type(schema).__name__}, expected an object", param=param)
    num_nodes = 0
    pending: list[tuple[Any, int]] = [(schema, 1)]
    while pending:
        node, depth = pending.pop()
        num_nodes += isinstance(node, dict)
        if depth > MAX_DEPTH or num_nodes > MAX_NODES:
            raise RequestError(
                f"the schema nests deeper than {MAX_DEPTH} or has more than {MAX_NODES} objects", param=param
            )
        if isinstance(node, dict):
            fields = cast("dict[str, Any]", node)
            _check_numbers(fields, param)
            pending += [(value, depth + 1) for value in fields.values()]
        elif isinstance(node, list):
            pending += [(value, depth + 1) for value in cast("Any", node)]
    size = len(msgspec.json.encode(schema))
    if size > MAX_SCHEMA_BYTES:
        raise RequestError(f"the schema has {size} bytes, expected at most {MAX_SCHEMA_BYTES}", param=param)


def _check_numbers(node: dict[str, Any], param: str) -> None:
    for name in REPEATS:
        value = node.get(name)
        if isinstance(value, int) and value > MAX_REPEATS:
            raise RequestError(f"{name} is {value}, expected at most {MAX_REPEATS}", param=param)
    values: Any = node.get("enum")
    if isinstance(values, list) and len(cast("Any", values)) > MAX_ENUM_VALUES:
        raise RequestError(f"an enum has more than {MAX_ENUM_VALUES} values", param=param)
    reference = node.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise RequestError(f"$ref {reference!r} is not local, expected '#/…'", param=param)


def check_text(value: Any, what: str) -> str:
    """Return a pattern or a grammar that is a text of bearable size.

    Raises:
        RequestError: It is not.
    """
    if not isinstance(value, str) or not value:
        raise RequestError(f"{what} must be a text that is not empty", param=PARAM)
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise RequestError(f"{what} is longer than {MAX_TEXT_BYTES} bytes", param=PARAM)
    if value.count("(") > MAX_GROUPS or value.count("[") > MAX_GROUPS or value.count("{") > MAX_GROUPS:
        raise RequestError(f"{what} has more than {MAX_GROUPS} groups", param=PARAM)
    return value
