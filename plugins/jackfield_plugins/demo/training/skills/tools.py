"""Conversations with functions: one call, several at once, none, and answers from results."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import Check, Exchange, Sample, sloppy
from jackfield_plugins.demo.training.skills.knowledge import country_fact, fact
from jackfield_plugins.demo.training.skills.small_facts import small_fact
from jackfield_plugins.demo.training.skills.talk import small_talk
from jackfield_plugins.demo.training.skills.tool_turns import (
    call_turn,
    core,
    is_like,
    opening,
    operation_in,
    result_turns,
    thought_of,
    tools_with,
)
from jackfield_plugins.demo.training.skills.unknown import unknown
from jackfield_plugins.demo.training.toolbox import use
from jackfield_plugins.demo.training.toolbox.calculation import operation
from jackfield_plugins.demo.training.toolbox.definition import Use
from jackfield_plugins.demo.training.toolbox.familiar import weather
from jackfield_plugins.demo.training.toolbox.one_parameter import SIMPLE
from jackfield_plugins.demo.training.words import coined, place

__all__ = ["tool_answer", "tool_call", "tool_free"]


def _checked(uses: list[Use]) -> Check:
    return Check(calls=[(item.name, item.arguments) for item in uses])


def _several(rng: Random) -> tuple[list[Use], str]:
    """Return two or three uses that one request asks for."""
    if rng.random() < 0.5:
        first = rng.choice((weather, weather, rng.choice(SIMPLE), operation))(rng)
        uses = [first]
        for _ in range(rng.choice((1, 1, 2))):
            other = _again(rng, first)
            if other is not None and all(other.arguments != u.arguments for u in uses):
                uses.append(other)
        if len(uses) > 1:
            return uses, _joined_request(rng, uses)
    if rng.random() < 0.25:
        first = operation(rng)
        second = next(
            item
            for item in iter(lambda: operation(rng), None)
            if operation_in(item.name) != operation_in(first.name)
        )
        return (
            [first, second],
            f"{first.request} {rng.choice(('Also, ', 'And ', ''))}{second.request[0].lower() + second.request[1:]}",
        )
    both: list[Use] = []
    while len(both) < 2:
        other = use(rng)
        if not is_like(other, both):
            both.append(other)
    return (
        both,
        f"{both[0].request} {rng.choice(('Also, ', 'And ', 'Then ', ''))}{both[1].request[0].lower() + both[1].request[1:]}",
    )


def _again(rng: Random, first: Use) -> Use | None:
    """Return the same function used with another first argument; ``None`` when its text does not allow that."""
    key, value = next(iter(first.arguments.items()))
    other: Any = (
        place(rng)
        if isinstance(value, str) and value[:1].isupper()
        else coined(rng)
        if isinstance(value, str)
        else rng.randint(1, 99)
    )
    if (
        first.request.count(str(value)) != 1
        or first.clause.count(str(value)) != 1
        or len(first.arguments) > 1
        or isinstance(value, bool)
    ):
        return None
    clause = first.clause.replace(str(value), str(other))
    return Use(
        first.tool,
        first.request.replace(str(value), str(other)),
        clause,
        {**first.arguments, key: other},
        first.result,
        first.told.replace(str(value), str(other)),
    )


def _joined_request(rng: Random, uses: list[Use]) -> str:
    values = [str(next(iter(item.arguments.values()))) for item in uses]
    joined = f"{', '.join(values[:-1])} and {values[-1]}"
    request = uses[0].request.replace(values[0], joined)
    return request if rng.random() < 0.7 else " ".join(item.request for item in uses)


def tool_call(rng: Random) -> Sample:
    """Teach a call, or several at once; now and then after other turns."""
    if rng.random() < 0.2:
        uses, request = _several(rng)
        thought = f"The user wants {len(uses)} things. " + " ".join(thought_of(rng, item) for item in uses)
    else:
        uses = [use(rng)]
        request, thought = uses[0].request, thought_of(rng, uses[0])
        request = sloppy(rng, request) if rng.random() < 0.3 and not _has_capitals(uses[0]) else request
    messages = opening(rng, request)
    if rng.random() < 0.12:
        before = rng.choice((small_talk, country_fact, fact))(rng)
        messages[-1:-1] = before.messages()
    messages.append(call_turn(uses, thought))
    return Sample(
        "tool calls",
        messages,
        f"tool calls: {uses[0].name} {request}",
        _checked(uses),
        tools_with(rng, uses),
    )


def _has_capitals(item: Use) -> bool:
    return any(
        (isinstance(value, str) and value != value.lower()) or str(value).endswith((".", "?"))
        for value in item.arguments.values()
    )


def tool_free(rng: Random) -> Sample:
    """Teach to answer without a call when no function helps, and to ask when something is missing."""
    tools = tools_with(rng, [use(rng)])
    exchange = rng.choice((small_talk, small_talk, country_fact, fact, small_fact, unknown))(rng)
    for _ in range(20):
        names = " ".join(str(t["name"]) for t in tools).lower()
        if not any(
            word in names
            for word in (
                "search",
                "lookup",
                "wiki",
                "capital",
                "dictionary",
                "define",
                "definition",
                "translate",
                "population",
                "time",
                "roll",
                "dice",
                "music",
                "play",
                "knowledge",
                "weather",
                "forecast",
                "temperature",
                "stock",
                "find",
                "user",
            )
        ):
            break
        tools = tools_with(rng, [use(rng)])
    else:
        exchange = small_talk(rng)
        exchange = (
            Exchange("Hello!", "Hello! How can I help you?", "The user greets me.", ("Hello",))
            if "roll" in exchange.question.lower()
            else exchange
        )
    if rng.random() < 0.12:
        item = weather(rng)
        tools = [item.tool]
        about = "temperature" if "temperature" in item.name else "weather"
        question = rng.choice((f"What is the {about}?", f"Tell me the {about}.", f"How is the {about}?"))
        exchange = Exchange(
            question,
            f"For which {next(iter(item.arguments))} would you like to know the {about}?",
            "The place is missing. I have to ask.",
            ("which",),
        )
    messages = opening(rng, "")[:-1]
    messages = [m for m in messages if "must call" not in m["content"]] + exchange.messages()
    return Sample(
        "no call needed",
        messages,
        f"no call needed: {exchange.question} {tools[0]['name']}",
        Check(says=exchange.says),
        tools,
    )


def tool_answer(rng: Random) -> Sample:
    """Teach to tell what a call returned, its errors too."""
    if rng.random() < 0.2:
        uses, request = _several(rng)
    else:
        uses = [use(rng)]
        request = uses[0].request
    told = " ".join(item.told for item in uses)
    says = tuple(core(item) for item in uses)
    results = result_turns(uses)
    if len(uses) == 1 and rng.random() < 0.1:
        problem = rng.choice(
            (
                "not found",
                "timeout",
                "permission denied",
                "unknown value",
                f"no such {coined(rng)}",
                "service unavailable",
            )
        )
        results[0]["content"] = rng.choice(
            (json.dumps({"error": problem}), f"Error: {problem}", f"error: {problem}")
        )
        told, says = f"I'm sorry, that did not work: {problem}.", (problem,)
    messages = [*opening(rng, request), call_turn(uses, thought_of(rng, uses[0])), *results]
    messages.append(
        {
            "role": "assistant",
            "content": told,
            "thinking": f"The function returned {results[0]['content'][:80]}. I tell the user.",
        }
    )
    if rng.random() < 0.12:
        after = small_talk(rng)
        messages += after.messages()
        says = after.says
    return Sample(
        "tool answers",
        messages,
        f"tool answers: {uses[0].name} {request}",
        Check(says=says),
        tools_with(rng, uses, 2),
    )
