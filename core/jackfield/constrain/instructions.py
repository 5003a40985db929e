"""What a model is told when its answer must be JSON: the mask makes it valid, these words make it meant."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from jackfield.service.requests import Constraint, Message

__all__ = ["instructed"]

SYSTEM_ROLES = ("system", "developer")


def instructed(messages: Sequence[Message], constraint: Constraint) -> list[Message]:
    """Return the conversation with the wanted form in its first system message, or in a new one."""
    text = _instruction(constraint)
    if not text:
        return list(messages)
    if messages and messages[0].role in SYSTEM_ROLES:
        first = msgspec.structs.replace(messages[0], content=f"{messages[0].content}\n\n{text}".strip())
        return [first, *messages[1:]]
    return [Message("system", text), *messages]


def _instruction(constraint: Constraint) -> str:
    if constraint.kind == "json":
        return "Answer with one JSON object and nothing else: no prose, no code fence."
    if constraint.kind == "schema":
        schema = msgspec.json.encode(constraint.value).decode()
        return (
            "Answer with one JSON value that fits this JSON schema, and nothing else: no prose, no code fence."
            f"\n{schema}"
        )
    return ""
