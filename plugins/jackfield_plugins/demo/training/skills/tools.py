"""Conversations with functions: one call, several at once, none, answers from results, and loops of steps."""

from __future__ import annotations

import json
from random import Random
from typing import Any, cast

from jackfield_plugins.demo.training.dialogue import Check, Exchange, Message, Sample, sloppy
from jackfield_plugins.demo.training.skills.knowledge import country_fact, fact, small_fact, unknown
from jackfield_plugins.demo.training.skills.talk import small_talk
from jackfield_plugins.demo.training.skills.toolbox import SIMPLE, Use, operation, use, weather
from jackfield_plugins.demo.training.words import coined, place

__all__ = ["agent_loop", "tool_answer", "tool_call", "tool_free"]

SYSTEMS = (
    "", "", "", "", "You are a helpful assistant.", "You are a helpful assistant with access to tools.", "Use the tools when they help.",
    "You must call the provided function. Do not answer from memory.", "You are a helpful assistant that can call functions.",
)  # fmt: skip


def _tools_with(rng: Random, uses: list[Use], most: int = 4) -> list[dict[str, Any]]:
    """Return the definitions of these uses among others, each name once, in any order."""
    found = {item.name: item.tool for item in uses}
    for _ in range(rng.choice((0, 0, 1, 2, most))):
        other = use(rng)
        if _is_like(other, uses):
            continue
        found.setdefault(other.name, other.tool)
    if rng.random() < 0.6:
        _add_operations(rng, found)
    tools = list(found.values())
    rng.shuffle(tools)
    return tools


OPERATION_WORDS = ("add", "multiply", "subtract", "divide")


def _operation_in(function: str) -> str:
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
    present = {_operation_in(function) for function in found} - {""}
    if not present:
        return
    for _ in range(6):
        other = operation(rng)
        word = _operation_in(other.name)
        if word not in present and other.name not in found:
            found[other.name] = other.tool
            present.add(word)


def _is_like(other: Use, uses: list[Use]) -> bool:
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


def _call(uses: list[Use], thought: str) -> Message:
    calls = [{"name": item.name, "arguments": item.arguments} for item in uses]
    return {"role": "assistant", "content": "", "thinking": thought, "tool_calls": calls}


def _results(uses: list[Use]) -> list[Message]:
    return [{"role": "tool", "content": item.result, "name": item.name} for item in uses]


def _thought(rng: Random, item: Use) -> str:
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


def _start(rng: Random, request: str) -> list[Message]:
    system = rng.choice(SYSTEMS)
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": request}]


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
            if _operation_in(item.name) != _operation_in(first.name)
        )
        return (
            [first, second],
            f"{first.request} {rng.choice(('Also, ', 'And ', ''))}{second.request[0].lower() + second.request[1:]}",
        )
    both: list[Use] = []
    while len(both) < 2:
        other = use(rng)
        if not _is_like(other, both):
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
        thought = f"The user wants {len(uses)} things. " + " ".join(_thought(rng, item) for item in uses)
    else:
        uses = [use(rng)]
        request, thought = uses[0].request, _thought(rng, uses[0])
        request = sloppy(rng, request) if rng.random() < 0.3 and not _has_capitals(uses[0]) else request
    messages = _start(rng, request)
    if rng.random() < 0.12:
        before = rng.choice((small_talk, country_fact, fact))(rng)
        messages[-1:-1] = before.messages()
    messages.append(_call(uses, thought))
    return Sample(
        "tool calls",
        messages,
        f"tool calls: {uses[0].name} {request}",
        _checked(uses),
        _tools_with(rng, uses),
    )


def _has_capitals(item: Use) -> bool:
    return any(
        (isinstance(value, str) and value != value.lower()) or str(value).endswith((".", "?"))
        for value in item.arguments.values()
    )


def tool_free(rng: Random) -> Sample:
    """Teach to answer without a call when no function helps, and to ask when something is missing."""
    tools = _tools_with(rng, [use(rng)])
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
        tools = _tools_with(rng, [use(rng)])
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
    messages = _start(rng, "")[:-1]
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
    says = tuple(_core(item) for item in uses)
    results = _results(uses)
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
    messages = [*_start(rng, request), _call(uses, _thought(rng, uses[0])), *results]
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
        _tools_with(rng, uses, 2),
    )


def _core(item: Use) -> str:
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


def agent_loop(rng: Random) -> Sample:
    """Teach a task of several steps, where each call needs the result before."""
    kind = rng.randrange(3)
    if kind == 0:
        return _two_operations(rng)
    if kind == 1:
        return _look_up_then(rng)
    first, second = use(rng), use(rng)
    while _is_like(second, [first]):
        second = use(rng)
    request = f"{first.request} {rng.choice(('After that, ', 'Then '))}{second.request[0].lower() + second.request[1:]}"
    messages = [
        *_start(rng, f"{rng.choice(('Do this step by step. ', 'One after the other: ', 'First: '))}{request}"),
        _call([first], _thought(rng, first)), *_results([first]), _call([second], _thought(rng, second)), *_results([second]),
        {"role": "assistant", "content": f"{first.told} {second.told}", "thinking": "Both steps are done. I tell the results."},
    ]  # fmt: skip
    return Sample(
        "agent loops",
        messages,
        f"agent loops: {request}",
        Check(says=(_core(first), _core(second))),
        _tools_with(rng, [first, second], 2),
    )


def _operation_named(rng: Random, op: str) -> Use:
    while True:
        item = operation(rng)
        if op in item.name.lower():
            return item


def _two_operations(rng: Random) -> Sample:
    first_op, second_op = rng.choice((("multiply", "add"), ("add", "multiply"), ("multiply", "subtract")))
    first, second = _operation_named(rng, first_op), _operation_named(rng, second_op)
    a, b, c = rng.randint(2, 60), rng.randint(2, 30), rng.randint(1, 20)
    middle = a * b if first_op == "multiply" else a + b
    final = {"add": middle + c, "multiply": middle * c, "subtract": middle - c}[second_op]
    keys, keys2 = list(first.arguments), list(second.arguments)
    one = {keys[0]: a, keys[1]: b}
    two = {keys2[0]: middle, keys2[1]: c}
    request = {
        ("multiply", "add"): f"Multiply {a} by {b}, then add {c} to the result.", ("add", "multiply"): f"Add {a} and {b}, then multiply the result by {c}.",
        ("multiply", "subtract"): f"Multiply {a} by {b}, then subtract {c} from the result.",
    }[first_op, second_op]  # fmt: skip
    calls = [{"name": first.name, "arguments": one}], [{"name": second.name, "arguments": two}]
    messages = [
        *_start(rng, request),
        {"role": "assistant", "content": "", "thinking": f"First {first_op} {a} and {b}.", "tool_calls": calls[0]}, {"role": "tool", "content": str(middle), "name": first.name},
        {"role": "assistant", "content": "", "thinking": f"The result is {middle}. Now {second_op} with {c}.", "tool_calls": calls[1]}, {"role": "tool", "content": str(final), "name": second.name},
        {"role": "assistant", "content": f"The result is {final}.", "thinking": f"The last result is {final}."},
    ]  # fmt: skip
    cut = rng.choice((4, 6))
    start = len(messages) - 6
    messages = messages[: start + cut]
    check = Check(says=(str(final),)) if cut == 6 else Check(calls=[(second.name, two)])
    return Sample(
        "agent loops", messages, f"agent loops: {request}", check, _tools_with(rng, [first, second], 2)
    )


def _look_up_then(rng: Random) -> Sample:
    """Look up where somebody lives, then ask for the weather there."""
    sky, who, where = weather(rng), coined(rng).capitalize(), place(rng)
    key = next(iter(sky.arguments))
    finder = {
        "name": rng.choice(("get_user_city", "find_address", "where_lives", "get_location")),
        "description": "Find out where a person lives.",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    }
    about = "temperature" if "temperature" in sky.name else "weather"
    request = f"What is the {about} where {who} lives?"
    result, told = rng.choice(
        (
            ("18 degrees", f"It is 18 degrees in {where}, where {who} lives."),
            ("sunny", f"The {about} in {where}, where {who} lives: sunny."),
        )
    )
    messages = [
        *_start(rng, request),
        {"role": "assistant", "content": "", "thinking": f"First I need the place where {who} lives.", "tool_calls": [{"name": finder["name"], "arguments": {"name": who}}]},
        {"role": "tool", "content": rng.choice((where, json.dumps({"city": where}))), "name": finder["name"]},
        {"role": "assistant", "content": "", "thinking": f"{who} lives in {where}. Now the {about} there.", "tool_calls": [{"name": sky.name, "arguments": {key: where}}]},
    ]  # fmt: skip
    check = Check(calls=[(sky.name, {key: where})])
    if rng.random() < 0.6:
        messages += [
            {"role": "tool", "content": result, "name": sky.name},
            {"role": "assistant", "content": told, "thinking": f"The {about} in {where} is {result}."},
        ]
        check = Check(says=(where,))
    tools = [finder, sky.tool]
    rng.shuffle(tools)
    return Sample("agent loops", messages, f"agent loops: {request}", check, tools)
