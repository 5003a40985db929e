"""Questions about a number or two: larger, even, prime, square, percent, next in a row."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, phrase
from jackfield_plugins.demo.training.skills.working import sum_of, working

__all__ = ["divisible", "factor", "number_facts", "prime"]


def divisible(question: str, value: int, d: int) -> Exchange:
    """Return whether a number divides another, with the division."""
    q, left = divmod(value, d)
    working_text = f"{d} * {q} = {d * q}. {value} - {d * q} = {left}."
    answer = (
        f"Yes, {value} = {d} * {q}, so it is divisible by {d}."
        if left == 0
        else f"No. {value} divided by {d} is {q} remainder {left}."
    )
    return Exchange(question, answer, working_text, ("Yes" if left == 0 else "No",))


def factor(n: int) -> int:
    """Return the smallest divisor above one."""
    return next((d for d in range(2, int(n**0.5) + 1) if n % d == 0), n)


def prime(question: str, n: int) -> Exchange:
    """Return whether a number is prime, with the divisors that were tried."""
    if n < 2:
        return Exchange(question, f"No, {n} is not a prime number.", "Primes begin at 2.", ("No",))
    d = factor(n)
    if d == n:
        return Exchange(
            question,
            f"Yes, {n} is a prime number.",
            f"{_tried(n, int(n**0.5) + 1)} Nothing divides {n}.".strip(),
            ("Yes",),
        )
    return Exchange(
        question,
        f"No, {n} is not a prime number: {n} = {d} * {n // d}.",
        f"{_tried(n, d)} {d} * {n // d} = {n}.",
        ("No",),
    )


def _tried(n: int, stop: int) -> str:
    """Return the primes below ``stop`` with what they leave of ``n``."""
    return " ".join(f"{p} leaves {n % p}." for p in range(2, min(stop, n)) if factor(p) == p)


def number_facts(rng: Random) -> Exchange:
    """Return a question about a number or two: larger, even, prime, square, percent, next in a row."""
    kind = rng.choice(
        (
            "larger",
            "even",
            "prime",
            "square",
            "root",
            "percent",
            "row",
            "half",
            "divisible",
            "average",
            "equation",
            "power",
            "decimal",
            "decimals",
        )
    )
    n, m = rng.randint(1, 100), rng.randint(1, 100)
    if kind == "larger" and n != m:
        word = rng.choice(("larger", "smaller", "bigger"))
        r = min(n, m) if word == "smaller" else max(n, m)
        return Exchange(
            f"Which is {word}, {n} or {m}?",
            f"{r} is {word}.",
            f"I compare {n} and {m}. {max(n, m)} > {min(n, m)}.",
            (f"{r} is {word}",),
        )
    if kind == "even":
        word = "even" if n % 2 == 0 else "odd"
        return Exchange(
            f"Is {n} even or odd?", f"{n} is {word}.", f"{n} ends in {n % 10}, so it is {word}.", (word,)
        )
    if kind == "prime":
        return prime(phrase(rng, "Is {n} [a prime number|prime]?", n=n), n)
    if kind == "square":
        n = rng.randint(1, 25)
        return Exchange(
            phrase(rng, "[What is|Calculate] [the square of {n}|{n} squared|{n}^2]?", n=n),
            f"{n} squared is {n * n}.",
            working(n, "*", n),
            (str(n * n),),
        )
    if kind == "root":
        n = rng.randint(1, 20)
        return Exchange(
            f"What is the square root of {n * n}?",
            f"The square root of {n * n} is {n}.",
            f"{n} * {n} = {n * n}.",
            (str(n),),
        )
    if kind == "percent":
        p, n = rng.choice((5, 10, 20, 25, 50, 75, 100)), rng.randint(1, 25) * 20
        return Exchange(
            phrase(rng, "What is {p}[%| percent] of {n}?", p=p, n=n),
            f"{p}% of {n} is {p * n // 100}.",
            f"1% of {n} is {n / 100:g}. {p} times that is {p * n // 100}.",
            (str(p * n // 100),),
        )
    if kind == "row":
        step, start = rng.randint(1, 12), rng.randint(0, 30)
        row = [start + step * i for i in range(5)]
        q = phrase(
            rng,
            "[What comes next|What is the next number|Continue]: {row}, [?|...]",
            row=", ".join(map(str, row[:4])),
        )
        return Exchange(
            q,
            f"The next number is {row[4]}.",
            f"Each number is {step} more than the one before. {row[3]} + {step} = {row[4]}.",
            (str(row[4]),),
        )
    if kind == "half":
        return Exchange(
            phrase(rng, "What is half of {n}?", n=2 * n),
            f"Half of {2 * n} is {n}.",
            f"{2 * n} / 2 = {n}.",
            (str(n),),
        )
    if kind == "divisible":
        d = rng.choice((2, 3, 5, 7, 9, 10))
        return divisible(f"Is {n} divisible by {d}?", n, d)
    if kind == "average":
        mean, off = rng.randint(5, 60), rng.randint(0, 5)
        row = [mean - off, mean, mean + off]
        return Exchange(
            f"What is the average of {row[0]}, {row[1]} and {row[2]}?",
            f"The average is {mean}.",
            f"{sum_of(row)} {sum(row)} / 3 = {mean}.",
            (str(mean),),
        )
    if kind == "power":
        base, exponent = rng.choice(
            (
                (2, rng.randint(0, 12)),
                (3, rng.randint(0, 5)),
                (10, rng.randint(0, 6)),
                (rng.randint(2, 12), 2),
                (rng.randint(2, 9), 3),
            )
        )
        q = phrase(rng, "What is {b} [to the power of {e}|^ {e}|** {e}]?", b=base, e=exponent)
        chain = " * ".join([str(base)] * exponent) or "1"
        return Exchange(
            q,
            f"{base} to the power of {exponent} is {base**exponent}.",
            f"{chain} = {base**exponent}.",
            (str(base**exponent),),
        )
    if kind == "decimal":
        x, y = (
            round(rng.randint(0, 9) + rng.choice((0.1, 0.11, 0.2, 0.25, 0.5, 0.9, 0.75)), 2),
            round(rng.randint(0, 9) + rng.choice((0.1, 0.3, 0.8, 0.9, 0.99, 0.05)), 2),
        )
        if x != y:
            return Exchange(
                f"Which is larger, {x} or {y}?",
                f"{max(x, y)} is larger.",
                f"I compare digit by digit: {max(x, y):.2f} > {min(x, y):.2f}.",
                (f"{max(x, y)} is larger",),
            )
    if kind == "decimals":
        x, y = rng.randint(1, 99) / 10, rng.randint(1, 99) / 10
        return Exchange(
            phrase(rng, "What is {x} [+|plus] {y}?", x=x, y=y),
            f"{x} + {y} = {round(x + y, 1)}.",
            f"{x} + {y} = {round(x + y, 1)}.",
            (str(round(x + y, 1)),),
        )
    x, k, c = rng.randint(-9, 12), rng.randint(2, 9), rng.randint(1, 30)
    right = k * x + c
    q = phrase(
        rng, "[Solve|Solve for x:|How can I solve|Find x:] {k}x + {c} = {right}", k=k, c=c, right=right
    )
    return Exchange(
        q,
        f"Subtract {c} from both sides: {k}x = {k * x}. Divide by {k}: x = {x}.",
        f"{right} - {c} = {k * x}. {k * x} / {k} = {x}.",
        (f"x = {x}",),
    )
