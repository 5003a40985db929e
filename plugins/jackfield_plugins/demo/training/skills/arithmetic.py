"""Sums, differences, products, quotients and small word problems, with the working where it is needed."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase, sloppy
from jackfield_plugins.demo.training.words import NOUNS, name

__all__ = ["arithmetic", "arithmetic_chain", "calculation", "number_facts", "word_problem"]

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


def parts(number: int) -> list[int]:
    """Return a number's digits with their place values, zeros left out: 345 is 300, 40 and 5."""
    digits = str(number)
    return [int(d) * 10 ** (len(digits) - 1 - i) for i, d in enumerate(digits) if d != "0"] or [0]


def working(a: int, op: str, b: int) -> str:
    """Return the steps from the question to its result, one short sentence each."""
    return {"+": _added, "-": _subtracted, "*": _multiplied, "/": _divided}[op](a, b)


def _added(a: int, b: int) -> str:
    steps: list[str] = []
    total = a
    for part in parts(b):
        steps.append(f"{total} + {part} = {total + part}.")
        total += part
    return " ".join(steps)


def _subtracted(a: int, b: int) -> str:
    steps: list[str] = []
    left = a
    if b > a:
        return (
            f"{b} is larger than {a}, so the result is negative. {_subtracted(b, a)} So {a} - {b} = {a - b}."
        )
    for part in parts(b):
        steps.append(f"{left} - {part} = {left - part}.")
        left -= part
    return " ".join(steps)


def _multiplied(a: int, b: int) -> str:
    """Multiply the longer factor by each place of the shorter one: 17 * 23 is 17 * 20 and 17 * 3."""
    if len(str(a)) < len(str(b)):
        a, b = b, a
    if b < 10:
        return _by_place(a, b)
    places = parts(b)
    steps = [_by_place(a, place) for place in places]
    if len(places) > 1:
        steps.append(_sum_of([a * place for place in places]))
    return " ".join(steps)


def _by_place(a: int, place: int) -> str:
    """Multiply by one digit and its zeros: two digits at once, three or more by their own places."""
    if a < 100 or len(parts(a)) == 1 or place in (0, 1, 10, 100):
        return f"{a} * {place} = {a * place}."
    pieces = " ".join(f"{part} * {place} = {part * place}." for part in parts(a))
    return f"{pieces} {_sum_of([part * place for part in parts(a)])}"


def _sum_of(numbers: list[int]) -> str:
    steps: list[str] = []
    total = numbers[0]
    for number in numbers[1:]:
        steps.append(f"{total} + {number} = {total + number}.")
        total += number
    return " ".join(steps)


def _divided(a: int, b: int) -> str:
    if b == 0:
        return "Division by zero is not defined."
    steps: list[str] = []
    left = a
    for part in parts(a // b):
        steps.append(f"{b} * {part} = {b * part}. {left} - {b * part} = {left - b * part}.")
        left -= b * part
    if len(parts(a // b)) > 1:
        steps.append(_sum_of(parts(a // b)))
    if left:
        steps.append(f"{left} is left over.")
    return " ".join(steps)


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


def result(a: int, op: str, b: int) -> str:
    """Return the result as it is said."""
    if op == "/":
        if b == 0:
            return "not defined"
        return f"{a // b}" + (f" remainder {a % b}" if a % b else "")
    return str({"+": a + b, "-": a - b, "*": a * b}[op])


def is_easy(a: int, op: str, b: int) -> bool:
    """Tell whether the result can be said at once."""
    if op in "+-":
        return max(a, b) <= 100 or (op == "+" and max(a, b) <= 1000)
    return (a <= 12 and b <= 12) if op == "*" else a <= 144 and b <= 12


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
    thought = _thought(rng, plain, steps, r)
    # what is too hard to say at once is worked out in the answer, unless it was worked out before
    answer = final if is_easy(a, op, b) and not stepwise else _worked(steps, final)
    if op == "/" and b == 0:
        answer = final = "Division by zero is not defined."
    says = (r.split()[0],) if b or op != "/" else ("not defined",)
    return Exchange(sloppy(rng, question), answer, thought, says, key=f"{a}{op}{b}", brief=final)


def _worked(steps: str, final: str) -> str:
    """Return the steps and the answer, or the answer alone when it is the only step."""
    return f"{steps} So {final[0].lower()}{final[1:]}" if steps.count("=") > 1 else final


def _thought(rng: Random, it: str, steps: str, r: str) -> str:
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
            first, final if is_easy(a, "*", b) else _worked(steps, final), steps, (str(value),), brief=final
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
        p = next(p for p in range(value + 1, value + 100) if _factor(p) == p)
        return Exchange(
            "What is the next prime number after it?",
            f"The next prime number after {value} is {p}.",
            f"I look for the first prime above {value}. That is {p}.",
            (str(p),),
        ), p
    if kind == "sum" and 1 < len(seen) < 6:
        steps = _sum_of(seen)
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
        return _divisible(q, value, d), value
    if kind == "even":
        word = "even" if value % 2 == 0 else "odd"
        return Exchange(
            rng.choice(("Is that even or odd?", "Is it even or odd?")),
            f"{value} is {word}.",
            f"{value} ends in {value % 10}, so it is {word}.",
            (word,),
        ), value
    return _prime(
        rng.choice(("Is that a prime number?", "Is it prime?", "Is the result a prime number?")), value
    ), value


def _link(question: str, value: int, op: str, n: int) -> Exchange:
    r = result(value, op, n)
    steps, final = working(value, op, n), f"{value} {op} {n} = {r}."
    answer = final if is_easy(value, op, n) else _worked(steps, final)
    return Exchange(question, answer, f"The last result was {value}. {steps}", (r.split()[0],), brief=final)


def _divisible(question: str, value: int, d: int) -> Exchange:
    q, left = divmod(value, d)
    working_text = f"{d} * {q} = {d * q}. {value} - {d * q} = {left}."
    answer = (
        f"Yes, {value} = {d} * {q}, so it is divisible by {d}."
        if left == 0
        else f"No. {value} divided by {d} is {q} remainder {left}."
    )
    return Exchange(question, answer, working_text, ("Yes" if left == 0 else "No",))


def _factor(n: int) -> int:
    """Return the smallest divisor above one."""
    return next((d for d in range(2, int(n**0.5) + 1) if n % d == 0), n)


def _prime(question: str, n: int) -> Exchange:
    if n < 2:
        return Exchange(question, f"No, {n} is not a prime number.", "Primes begin at 2.", ("No",))
    d = _factor(n)
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
    return " ".join(f"{p} leaves {n % p}." for p in range(2, min(stop, n)) if _factor(p) == p)


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
        return _prime(phrase(rng, "Is {n} [a prime number|prime]?", n=n), n)
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
        return _divisible(f"Is {n} divisible by {d}?", n, d)
    if kind == "average":
        mean, off = rng.randint(5, 60), rng.randint(0, 5)
        row = [mean - off, mean, mean + off]
        return Exchange(
            f"What is the average of {row[0]}, {row[1]} and {row[2]}?",
            f"The average is {mean}.",
            f"{_sum_of(row)} {sum(row)} / 3 = {mean}.",
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
