"""Rewriting earlier turns for families whose templates take less than clients send."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from msgspec.structs import replace

from jackfield.service.requests import Message, ToolCall

__all__ = ["one_call_per_message", "with_short_ids"]

SHORT_ID = re.compile("[A-Za-z0-9]{9}")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def one_call_per_message(messages: Sequence[Message]) -> list[Message]:
    """Follow each call by its own result, as if the calls had been made one after the other."""
    split: list[Message] = []
    index = 0
    while index < len(messages):
        message = messages[index]
        index += 1
        if len(message.tool_calls) < 2:
            split.append(message)
            continue
        results: list[Message] = []
        while index < len(messages) and messages[index].role == "tool":
            results.append(messages[index])
            index += 1
        split += _interleaved(message, results)
    return split


def with_short_ids(messages: Sequence[Message]) -> list[Message]:
    """Give every call an id of nine letters and digits, the same for the same id."""
    return [
        replace(
            message,
            tool_calls=[replace(call, id=_short(call.id)) for call in message.tool_calls],
            tool_call_id=None if message.tool_call_id is None else _short(message.tool_call_id),
        )
        for message in messages
    ]


def _interleaved(message: Message, results: list[Message]) -> list[Message]:
    turns: list[Message] = []
    for number, call in enumerate(message.tool_calls):
        first = message if number == 0 else replace(message, content="", thinking=None)
        result = _result_of(call, results)
        turns += [replace(first, tool_calls=[call]), *([result] if result is not None else [])]
    return [*turns, *results]


def _result_of(call: ToolCall, results: list[Message]) -> Message | None:
    """Take the call's result out of the list: the one with its id, or the next that names none."""
    for result in results:
        if result.tool_call_id == call.id or not (result.tool_call_id and call.id):
            results.remove(result)
            return result
    return None


def _short(call_id: str) -> str:
    if SHORT_ID.fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).digest()[:8])
    return "".join(_DIGITS[number // len(_DIGITS) ** place % len(_DIGITS)] for place in range(9))
