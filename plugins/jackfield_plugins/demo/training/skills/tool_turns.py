"""What conversations with functions are made of: the functions offered, and the turns of a call."""

from __future__ import annotations

import json
from random import Random
from typing import Any, cast

from jackfield_plugins.demo.training.dialogue import Message
from jackfield_plugins.demo.training.toolbox import use
from jackfield_plugins.demo.training.toolbox.calculation import operation
from jackfield_plugins.demo.training.toolbox.definition import Use

__all__ = [
    "call_turn",
    "core",
    "is_like",
    "opening",
    "operation_in",
    "result_turns",
    "thought_of",
    "tools_with",
]

SYSTEMS = (
    "", "", "", "", "You are a helpful assistant.", "You are a helpful assistant with access to tools.", "Use the tools when they help.",
    "You must call the provided function. Do not answer from memory.", "You are a helpful assistant that can call functions.",
)  # fmt: skip


def tools_with(rng: Random, uses: list[Use], most: int = 4) -> list[dict[str, Any]]:
    """Return the definitions of these uses among others, each name once, in any order."""
    found = {item.name: item.tool for item in uses}
    for _ in range(rng.choice((0, 0, 1, 2, most))):
        other = use(rng)
        if is_like(other, uses):
            continue
        found.setdefault(other.name, other.tool)
    if rng.random() < 0.6:
        _add_operations(rng, found)
    tools = list(found.values())
    rng.shuffle(tools)
    return tools


OPERATION_WORDS = ("add", "multiply", "subtract", "divide")


def operation_in(function: str) -> str:
    """Return the arithmetic word in a function's name, if it is one of the arithmetic functions."""
    name = function.lower()
    return next(
        (
            word
            for word in OPERATION_WORDS
            if name in (word, f"{word}_numbers", f"{word}_two_numbers", f"calc_{word}")
        ),
        "",
    )


def _add_operations(rng: Random, found: dict[str, dict[str, Any]]) -> None:
    """Offer the other arithmetic functions beside one, so that the right one has to be chosen."""
    present = {operation_in(function) for function in found} - {""}
    if not present:
        return
    for _ in range(6):
        other = operation(rng)
        word = operation_in(other.name)
        if word not in present and other.name not in found:
            found[other.name] = other.tool
            present.add(word)


def is_like(other: Use, uses: list[Use]) -> bool:
    """Tell whether another function would do for one of these requests."""
    calculators = ("calc", "add", "mult", "subtract", "divide", "eval", "comp", "math", "sum")
    similar = (
        calculators,
        ("weather", "forecast", "temperature"),
        ("search", "lookup", "wiki", "find", "get_capital", "capital", "dictionary", "define", "definition"),
        ("time",),
        ("translate",),
        ("price",),
        ("mail", "message"),
    )
    for words in similar:
        if any(w in other.name.lower() for w in words) and any(
            w in u.name.lower() for u in uses for w in words
        ):
            return True
    return any(other.name == u.name for u in uses)


def call_turn(uses: list[Use], thought: str) -> Message:
    """Return the turn that makes these calls at once."""
    calls = [{"name": item.name, "arguments": item.arguments} for item in uses]
    return {"role": "assistant", "content": "", "thinking": thought, "tool_calls": calls}


def result_turns(uses: list[Use]) -> list[Message]:
    """Return what the functions answer, a turn each."""
    return [{"role": "tool", "content": item.result, "name": item.name} for item in uses]


def thought_of(rng: Random, item: Use) -> str:
    """Return the reasoning before a call."""
    given = ", ".join(
        f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in item.arguments.items()
    )
    return rng.choice(
        (
            f"The user wants {item.clause}. I call {item.name} with {given}.",
            f"I can use {item.name} with {given}.",
            f"{item.name} fits. Arguments: {given}.",
        )
    )


def opening(rng: Random, request: str) -> list[Message]:
    """Return the turns a conversation opens with: a system prompt or none, and the request."""
    system = rng.choice(SYSTEMS)
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": request}]


def core(item: Use) -> str:
    """Return the part of a result that the answer cannot do without."""
    try:
        value: Any = json.loads(item.result)
    except ValueError:
        value = item.result
    if isinstance(value, dict):
        value = next(
            (v for v in cast("dict[str, Any]", value).values() if str(v).lower() in item.told.lower()), ""
        )
    text = str(value)
    return text if text and text.lower() in item.told.lower() else item.told.split()[-1].rstrip(".")
