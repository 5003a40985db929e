"""How a calculation is worked out: its steps, its result, and whether it can be said at once."""

from __future__ import annotations

__all__ = ["is_easy", "result", "sum_of", "worked", "working"]


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
        steps.append(sum_of([a * place for place in places]))
    return " ".join(steps)


def _by_place(a: int, place: int) -> str:
    """Multiply by one digit and its zeros: two digits at once, three or more by their own places."""
    if a < 100 or len(parts(a)) == 1 or place in (0, 1, 10, 100):
        return f"{a} * {place} = {a * place}."
    pieces = " ".join(f"{part} * {place} = {part * place}." for part in parts(a))
    return f"{pieces} {sum_of([part * place for part in parts(a)])}"


def sum_of(numbers: list[int]) -> str:
    """Return the steps of a sum, one number added at a time."""
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
        steps.append(sum_of(parts(a // b)))
    if left:
        steps.append(f"{left} is left over.")
    return " ".join(steps)


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


def worked(steps: str, final: str) -> str:
    """Return the steps and the answer, or the answer alone when it is the only step."""
    return f"{steps} So {final[0].lower()}{final[1:]}" if steps.count("=") > 1 else final
