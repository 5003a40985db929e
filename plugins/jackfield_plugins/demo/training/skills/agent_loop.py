"""Tasks of several steps, where each call needs the result before."""

from __future__ import annotations

import json
from random import Random

from jackfield_plugins.demo.training.dialogue import Check, Sample
from jackfield_plugins.demo.training.skills.tool_turns import (
    call_turn,
    core,
    is_like,
    opening,
    result_turns,
    thought_of,
    tools_with,
)
from jackfield_plugins.demo.training.toolbox import use
from jackfield_plugins.demo.training.toolbox.calculation import operation
from jackfield_plugins.demo.training.toolbox.definition import Use
from jackfield_plugins.demo.training.toolbox.familiar import weather
from jackfield_plugins.demo.training.words import coined, place

__all__ = ["agent_loop"]


def agent_loop(rng: Random) -> Sample:
    """Teach a task of several steps, where each call needs the result before."""
    kind = rng.randrange(3)
    if kind == 0:
        return _two_operations(rng)
    if kind == 1:
        return _look_up_then(rng)
    first, second = use(rng), use(rng)
    while is_like(second, [first]):
        second = use(rng)
    request = f"{first.request} {rng.choice(('After that, ', 'Then '))}{second.request[0].lower() + second.request[1:]}"
    messages = [
        *opening(rng, f"{rng.choice(('Do this step by step. ', 'One after the other: ', 'First: '))}{request}"),
        call_turn([first], thought_of(rng, first)), *result_turns([first]), call_turn([second], thought_of(rng, second)), *result_turns([second]),
        {"role": "assistant", "content": f"{first.told} {second.told}", "thinking": "Both steps are done. I tell the results."},
    ]  # fmt: skip
    return Sample(
        "agent loops",
        messages,
        f"agent loops: {request}",
        Check(says=(core(first), core(second))),
        tools_with(rng, [first, second], 2),
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
        *opening(rng, request),
        {"role": "assistant", "content": "", "thinking": f"First {first_op} {a} and {b}.", "tool_calls": calls[0]}, {"role": "tool", "content": str(middle), "name": first.name},
        {"role": "assistant", "content": "", "thinking": f"The result is {middle}. Now {second_op} with {c}.", "tool_calls": calls[1]}, {"role": "tool", "content": str(final), "name": second.name},
        {"role": "assistant", "content": f"The result is {final}.", "thinking": f"The last result is {final}."},
    ]  # fmt: skip
    cut = rng.choice((4, 6))
    start = len(messages) - 6
    messages = messages[: start + cut]
    check = Check(says=(str(final),)) if cut == 6 else Check(calls=[(second.name, two)])
    return Sample(
        "agent loops", messages, f"agent loops: {request}", check, tools_with(rng, [first, second], 2)
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
        *opening(rng, request),
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
