"""Functions that calculate: one operation on two numbers, or a whole expression."""

from __future__ import annotations

import json
from random import Random

from jackfield_plugins.demo.training.dialogue import phrase
from jackfield_plugins.demo.training.toolbox.definition import INTEGER, NUMBER, STRING, Use, tool

__all__ = ["calculator", "operation"]

OPERATIONS = {"add": ("+", "add {a} and {b}|{a} plus {b}|the sum of {a} and {b}"), "multiply": ("*", "multiply {a} by {b}|{a} times {b}|the product of {a} and {b}|multiply {a} and {b}"),
              "subtract": ("-", "subtract {b} from {a}|{a} minus {b}"), "divide": ("/", "divide {a} by {b}|{a} divided by {b}")}  # fmt: skip
WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()


def operation(rng: Random) -> Use:
    """Ask for one operation on two numbers."""
    op = rng.choice(("add", "add", "multiply", "multiply", "subtract", "divide"))
    sign, ways = OPERATIONS[op]
    a, b = rng.randint(1, 400), rng.randint(1, 99)
    if op == "divide":
        a = b * rng.randint(1, 40)
    first, second = rng.choice(
        (
            ("a", "b"),
            ("a", "b"),
            ("a", "b"),
            ("x", "y"),
            ("first", "second"),
            ("num1", "num2"),
            ("first_int", "second_int"),
        )
    )
    kind = rng.choice((INTEGER, INTEGER, NUMBER))
    function = rng.choice((op, op, f"{op}_numbers", f"{op}_two_numbers", f"{op.capitalize()}", f"calc_{op}"))
    definition = tool(
        rng,
        function,
        rng.choice(
            (
                f"{op.capitalize()} two numbers.",
                f"{op.capitalize()} two numbers",
                f"{op.capitalize()} {first} and {second}.",
            )
        ),
        {first: kind, second: kind},
        [first, second],
    )
    way = rng.choice(ways.split("|"))
    spelt = a <= 12 and b <= 12 and rng.random() < 0.4
    said = way.replace("{a}", WORDS[a] if spelt else str(a)).replace("{b}", WORDS[b] if spelt else str(b))
    is_order = said.startswith(("add", "multiply", "subtract", "divide"))
    if rng.random() < 0.4:
        said, is_order = f"{a} {sign if sign != '*' else rng.choice('*x')} {b}", False
    request = phrase(
        rng,
        "[{s}.|Please {s}.|Can you {s}?|Use the tool to {s}.]"
        if is_order
        else "[What is {s}?|What's {s}?|Calculate {s}.|{s}?|How much is {s}?]",
        s=said,
    )
    value = {"+": a + b, "*": a * b, "-": a - b, "/": a // b}[sign]
    result, told = rng.choice(
        (
            (str(value), f"The result is {value}."),
            (json.dumps({"result": value}), f"The result is {value}."),
            (str(value), f"{a} {sign} {b} = {value}."),
        )
    )
    clause = said if not is_order else f"{a} {sign} {b}"
    return Use(definition, request[0].upper() + request[1:], clause, {first: a, second: b}, result, told)


def calculator(rng: Random) -> Use:
    """Ask for an expression's value."""
    a, b, op = rng.randint(2, 999), rng.randint(2, 999), rng.choice("+-*")
    expression = f"{a} {op} {b}" if rng.random() < 0.75 else f"({a} {op} {b}) * {rng.randint(2, 9)}"
    value = _value(expression)
    key = rng.choice(("expression", "expression", "query", "formula", "input"))
    function = rng.choice(("calculator", "calculate", "evaluate", "compute", "math", "eval_expression"))
    definition = tool(
        rng,
        function,
        rng.choice(
            (
                "Evaluate a math expression.",
                "Calculate the value of an expression",
                "A calculator. Takes an arithmetic expression.",
            )
        ),
        {key: STRING},
        [key],
    )
    request = phrase(
        rng,
        "[What is {e}?|Calculate {e}.|Compute {e}.|How much is {e}?|{e} = ?|Use the calculator: {e}|Evaluate {e}.]",
        e=expression,
    )
    result = rng.choice((str(value), json.dumps({"result": value})))
    return Use(definition, request, expression, {key: expression}, result, f"{expression} = {value}.")


def _value(expression: str) -> int:
    inner, _, factor = expression.partition(") * ")
    left, op, right = inner.lstrip("(").split(" ")
    value = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}[op]
    return value * int(factor or 1)
