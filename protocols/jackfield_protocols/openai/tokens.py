"""Texts given as token ids, where the API takes either."""

from __future__ import annotations

from typing import Any, cast

__all__ = ["are_tokens"]


def are_tokens(item: Any) -> bool:
    """Tell whether it is a list of token ids, and not an empty one."""
    tokens = cast("list[object]", item) if isinstance(item, list) else []
    return bool(tokens) and all(_is_token(one) for one in tokens)


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)
