"""JSON values as every process and client can read them: JSON bounds neither numbers nor texts, msgpack does."""

from __future__ import annotations

import sys
from typing import Any, cast

__all__ = ["portable"]

LEAST_INTEGER, MOST_INTEGER = -(2**63), 2**64 - 1
LARGEST = int(sys.float_info.max)


def portable(value: Any) -> Any:
    """Return the value with integers of more than 64 bits as floats, and halves of characters replaced.

    What is no JSON value, such as bytes, stays as it is.
    """
    if isinstance(value, str):
        return value if value.isascii() else _whole_characters(value)
    if isinstance(value, int):
        return value if LEAST_INTEGER <= value <= MOST_INTEGER else _float(value)
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {portable(key): portable(item) for key, item in fields.items()}
    if isinstance(value, list):
        return [portable(item) for item in cast("list[object]", value)]
    return value


def _float(value: int) -> float:
    return float(max(-LARGEST, min(LARGEST, value)))


def _whole_characters(text: str) -> str:
    """Join surrogates that belong together, and put U+FFFD for those that stand alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
