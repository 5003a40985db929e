"""Calculations that go on from the result before."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase
from jackfield_plugins.demo.training.skills.number_facts import divisible, factor, prime
from jackfield_plugins.demo.training.skills.working import is_easy, result, sum_of, worked, working

__all__ = ["arithmetic_chain"]


def arithmetic_chain(rng: Random) -> Sample:
    """Teach calculations that go on from the result before: "now add 100 to that"."""
    a, b = rng.randint(2, 30), rng.randint(2, 30)
    value = a * b
    exchanges: list[Exchange] = []
    first = phrase(rng, "[What is|What's|How much is] {a} [*|times|x] {b}?", a=a, b=b)
    steps = working(a, "*", b)
    final = f"{a} * {b} = {value}."
    exchanges.append(
        Exchange(
            first, final if is_easy(a, "*", b) else worked(steps, final), steps, (str(value),), brief=final
        )
    )
    seen = [value]
    for _ in range(rng.randint(1, 5)):
        exchange, value = _next_link(rng, value, seen)
        seen.append(value)
        exchanges.append(exchange)
    tutor = "You are a math tutor. Always show your work step by step. Keep answers concise."
    return Sample.of("arithmetic chain", *exchanges, system=tutor if rng.random() < 0.3 else "")


def _next_link(rng: Random, value: int, seen: list[int]) -> tuple[Exchange, int]:
    kind = rng.choice(
        (
            "add",
            "add",
            "subtract",
            "double",
            "divide",
            "round",
            "prime",
            "next prime",
            "divisible",
            "sum",
            "even",
        )
    )
    n = rng.choice((rng.randint(1, 20), 10, 100, rng.randint(1, 99)))
    if kind == "add":
        q = phrase(rng, "[Now add|Add|Please add] {n} to [that|it|that result|the result].", n=n)
        return _link(q, value, "+", n), value + n
    if kind == "subtract" and value >= n:
        q = phrase(rng, "[Now subtract|Subtract|Take] {n} from [that|it|that result|the result].", n=n)
        return _link(q, value, "-", n), value - n
    if kind == "double":
        return _link(
            rng.choice(("Double that.", "Now double it.", "Multiply that by 2.", "Times 2?")), value, "*", 2
        ), value * 2
    if kind == "divide":
        fits = [d for d in (2, 3, 4, 5, 10) if value % d == 0]
        if fits:
            d = rng.choice(fits)
            return _link(
                phrase(rng, "[Divide that by|Now divide it by|Divide the result by] {d}.", d=d), value, "/", d
            ), value // d
    if kind == "round":
        text = f"{value} is already a whole number, so it stays {value}."
        return Exchange(
            "Round that to the nearest whole number.", text, f"{value} has no fraction.", (str(value),)
        ), value
    if kind == "next prime" and value < 400:
        p = next(p for p in range(value + 1, value + 100) if factor(p) == p)
        return Exchange(
            "What is the next prime number after it?",
            f"The next prime number after {value} is {p}.",
            f"I look for the first prime above {value}. That is {p}.",
            (str(p),),
        ), p
    if kind == "sum" and 1 < len(seen) < 6:
        steps = sum_of(seen)
        numbers = " + ".join(map(str, seen))
        q = rng.choice(
            (
                "What is the sum of all the numbers we computed?",
                "Add up all the results so far.",
                "What is the sum of all results?",
            )
        )
        return Exchange(
            q,
            f"{numbers}: {steps} The sum is {sum(seen)}.",
            f"The numbers are {', '.join(map(str, seen))}. {steps}",
            (str(sum(seen)),),
            brief=f"{numbers} = {sum(seen)}.",
        ), sum(seen)
    if kind == "divisible":
        d = rng.choice((2, 3, 5, 7, 9, 10))
        q = phrase(rng, "Is [that|it|the final number|the result] divisible by {d}?", d=d)
        return divisible(q, value, d), value
    if kind == "even":
        word = "even" if value % 2 == 0 else "odd"
        return Exchange(
            rng.choice(("Is that even or odd?", "Is it even or odd?")),
            f"{value} is {word}.",
            f"{value} ends in {value % 10}, so it is {word}.",
            (word,),
        ), value
    return prime(
        rng.choice(("Is that a prime number?", "Is it prime?", "Is the result a prime number?")), value
    ), value


def _link(question: str, value: int, op: str, n: int) -> Exchange:
    r = result(value, op, n)
    steps, final = working(value, op, n), f"{value} {op} {n} = {r}."
    answer = final if is_easy(value, op, n) else worked(steps, final)
    return Exchange(question, answer, f"The last result was {value}. {steps}", (r.split()[0],), brief=final)
