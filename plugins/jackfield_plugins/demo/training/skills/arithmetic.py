"""Sums, differences, products, quotients and small word problems, with the working where it is needed."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase, sloppy
from jackfield_plugins.demo.training.skills.number_facts import number_facts
from jackfield_plugins.demo.training.skills.working import is_easy, result, worked, working
from jackfield_plugins.demo.training.words import NOUNS, name

__all__ = ["arithmetic", "operands"]

SIGNS = {"+": ("+", "+", "plus"), "-": ("-", "-", "minus"), "*": ("*", "x", "×", "times", "multiplied by"),
         "/": ("/", "÷", "divided by")}  # fmt: skip
ASKS = (
    "[What is|What's|Calculate|Compute|Solve|How much is|Work out|Evaluate] {it}[?||.]",
    "{it}", "{it} = ?", "{it} =", "{it}?", "What does {it} equal?", "Can you tell me what {it} is?",
    "Tell me the [result|value] of {it}.", "What do you get [when you calculate|for] {it}?",
    "I need to know {it}.", "Please [calculate|compute|solve] {it}.", "[What is|What's] the [answer to|result of] {it}?",
)  # fmt: skip
STEPS = (
    "Solve {it} step by step.", "[Calculate|Compute|Work out] {it} step by step.", "What is {it}? [Think|Show your work|Explain] step by step.",
    "What is {it}? Show your work.", "How do you [calculate|solve] {it}?", "Explain how to work out {it}.",
)  # fmt: skip
ANSWERS = ("{it} = {r}.", "{it} = {r}.", "{it} equals {r}.", "The answer is {r}.", "{it} is {r}.")


def operands(rng: Random) -> tuple[int, str, int]:
    """Draw a question: mostly small numbers, products up to two by two digits, now and then larger."""
    op = rng.choice("+++--****/")
    draw = rng.random()
    if op in "+-":
        top = 10 if draw < 0.15 else 100 if draw < 0.7 else 1000 if draw < 0.93 else 10_000
        a, b = rng.randint(0, top), rng.randint(0, top)
        return (a, op, b) if op == "+" or rng.random() < 0.12 else (max(a, b), op, min(a, b))
    if op == "*":
        if draw < 0.25:
            return rng.randint(0, 12), op, rng.randint(0, 12)
        if draw < 0.4:
            return rng.randint(10, 99), op, rng.randint(2, 9)
        if draw < 0.93:
            return rng.randint(10, 99), op, rng.randint(10, 99)
        return rng.randint(100, 999), op, rng.randint(2, 99)
    b = rng.randint(2, 12) if draw < 0.7 else rng.randint(2, 40)
    return b * rng.randint(1, 99 if b < 13 else 30) + (rng.randint(0, b - 1) if draw > 0.85 else 0), op, b


def calculation(rng: Random) -> Exchange:
    """Return one bare calculation."""
    a, op, b = operands(rng)
    if rng.random() < 0.01:
        a, op, b = rng.randint(1, 50), "/", 0
    r, sign = result(a, op, b), rng.choice(SIGNS[op])
    gap = "" if len(sign) == 1 and rng.random() < 0.15 else " "
    it = f"{a}{gap}{sign}{gap}{b}"
    plain = f"{a} {op if op != '*' else rng.choice('**x×')} {b}"
    stepwise = rng.random() < 0.2
    question = phrase(rng, rng.choice(STEPS if stepwise else ASKS), it=it)
    final = phrase(rng, rng.choice(ANSWERS), it=plain, r=r)
    steps = working(a, op, b)
    thought = _thought(rng, plain, steps)
    # what is too hard to say at once is worked out in the answer, unless it was worked out before
    answer = final if is_easy(a, op, b) and not stepwise else worked(steps, final)
    if op == "/" and b == 0:
        answer = final = "Division by zero is not defined."
    says = (r.split()[0],) if b or op != "/" else ("not defined",)
    return Exchange(sloppy(rng, question), answer, thought, says, key=f"{a}{op}{b}", brief=final)


def _thought(rng: Random, it: str, steps: str) -> str:
    opening = rng.choice(("", "", f"I need {it}. ", f"Let me work out {it}. "))
    return f"{opening}{steps}"


def word_problem(rng: Random) -> Exchange:
    """Return a small story that asks for a number."""
    who, things = name(rng), rng.choice(NOUNS) + "s"
    a, b = rng.randint(2, 60), rng.randint(2, 60)
    big, small = max(a, b), min(a, b)
    c, d = rng.randint(2, 12), rng.randint(2, 12)
    kinds = (
        (
            f"{who} has {a} {things} and [buys|gets|finds|is given] {b} more. How many {things} does {who} have[ now|]?",
            a,
            "+",
            b,
        ),
        (f"If I have {a} {things} and [buy|get|find] {b} more, how many do I have?", a, "+", b),
        (
            f"{who} has {big} {things} and [gives away|loses|sells|eats] {small}. How many are left?",
            big,
            "-",
            small,
        ),
        (
            f"There are {big} {things} [on the table|in the box|in the room]. {who} takes {small}. How many remain?",
            big,
            "-",
            small,
        ),
        (f"There are {c} boxes with {d} {things} each. How many {things} are there [in total|]?", c, "*", d),
        (f"{who} buys {c} {things} for {d} dollars each. How much does {who} pay?", c, "*", d),
        (
            f"{who} shares {c * d} {things} equally among {c} friends. How many does each [friend|] get?",
            c * d,
            "/",
            c,
        ),
        (f"A [train|car|bus] drives {c * 10} km an hour for {d} hours. How far does it go?", c * 10, "*", d),
    )
    template, x, op, y = rng.choice(kinds)
    r = result(x, op, y)
    unit = "km" if "km" in template else "dollars" if "dollars" in template else things
    question = phrase(rng, template)
    final = rng.choice(
        (f"{x} {op} {y} = {r}, so the answer is {r} {unit}.", f"{x} {op} {y} = {r}. The answer is {r}.")
    )
    thought = f"This is {x} {op} {y}. {working(x, op, y)}"
    return Exchange(question, final, thought, (r,))


def arithmetic(rng: Random) -> Sample:
    """Teach one calculation or word problem."""
    draw = rng.random()
    exchange = calculation(rng) if draw < 0.8 else word_problem(rng) if draw < 0.9 else number_facts(rng)
    return Sample.of("arithmetic", exchange)
