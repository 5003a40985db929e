"""Functions that nobody has heard of, with parameters of any name and kind."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import phrase
from jackfield_plugins.demo.training.toolbox.definition import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Schema,
    Use,
    one_of,
    tool,
)
from jackfield_plugins.demo.training.words import CITIES, COLOURS, NOUNS, SURNAMES, code, coined, name

__all__ = ["made_up"]


def _told_plain(rng: Random, result: str) -> str:
    return rng.choice(("The result is {r}.", "The answer is {r}.", "It is {r}.")).replace("{r}", result)


def made_up(rng: Random) -> Use:
    """Use a function that nobody has heard of, with parameters of any name and kind."""
    verb, noun = (
        rng.choice(
            "create update delete find get set check start stop send open close move rename count compare list assign register cancel approve scan reset fetch".split()
        ),
        rng.choice((rng.choice(NOUNS), coined(rng))),
    )
    style = rng.random()
    function = (
        f"{verb}_{noun}"
        if style < 0.7
        else f"{verb}{noun.capitalize()}"
        if style < 0.85
        else f"{coined(rng)}_{noun}"
        if style < 0.95
        else noun
    )
    parameters: dict[str, Schema] = {}
    arguments: dict[str, Any] = {}
    said: list[str] = []
    required: list[str] = []
    keys = dict.fromkeys(
        rng.choice(
            (
                rng.choice(NOUNS),
                coined(rng),
                f"{rng.choice(NOUNS)}_{rng.choice(('id', 'name', 'type', 'size', 'count', 'date', 'level'))}",
                rng.choice(
                    "name id title size color count status owner level mode amount priority category".split()
                ),
            )
        )
        for _ in range(rng.randint(1, 4))
    )
    for key in keys:
        kind, value, spoken = _any_value(rng)
        parameters[key] = kind
        if said and rng.random() < 0.15:
            continue
        arguments[key] = value
        if rng.random() < 0.8:
            required.append(key)
        said.append(
            rng.choice(
                (
                    f"{key.replace('_', ' ')} {spoken}",
                    f"{key.replace('_', ' ')} {spoken}",
                    f"{key} = {spoken}",
                    f"the {key.replace('_', ' ')} is {spoken}",
                    f"{key}: {spoken}",
                )
            )
        )
    listing = ", ".join(said[:-1]) + f" and {said[-1]}" if len(said) > 1 else said[0]
    action = f"{verb} the {noun}" if verb in function else f"{function.replace('_', ' ')}"
    request = phrase(
        rng,
        "[Please {a} with {l}.|{a}: {l}.|Can you {a} with {l}?|I want to {a}. {l}.|Call {f} with {l}.|Use {f}: {l}.|{a} where {l}.]",
        a=action,
        l=listing,
        f=function,
    )
    result, told = rng.choice(
        (
            ("ok", "Done."),
            ("success", "Done."),
            (json.dumps({"status": "ok"}), "Done."),
            (code(rng), ""),
            (str(rng.randint(1, 9999)), ""),
            (json.dumps({"id": code(rng)}), ""),
        )
    )
    if not told:
        value = json.loads(result)["id"] if result.startswith("{") else result
        told = _told_plain(rng, value)
    description = rng.choice(
        (
            f"{verb.capitalize()} a {noun}.",
            f"{verb.capitalize()}s the {noun}",
            f"Use this to {verb} a {noun}.",
            "",
        )
    )
    return Use(
        tool(rng, function, description, parameters, required),
        request[0].upper() + request[1:],
        f"{action} with {listing}",
        arguments,
        result,
        told,
    )


def _any_value(rng: Random) -> tuple[Schema, Any, str]:
    kind = rng.choice(("text", "text", "text", "int", "int", "number", "enum", "enum", "bool", "list"))
    if kind == "int":
        n = rng.randint(0, 9999) if rng.random() < 0.5 else rng.randint(0, 99)
        return INTEGER, n, str(n)
    if kind == "number":
        x = rng.randint(0, 999) / 10
        return NUMBER, x, str(x)
    if kind == "enum":
        values = rng.sample(
            [*NOUNS, *COLOURS, "low", "medium", "high", "fast", "slow", "daily", "weekly"], rng.randint(2, 4)
        )
        picked = rng.choice(values)
        return one_of(*values), picked, picked
    if kind == "bool":
        flag = rng.random() < 0.5
        return (
            BOOLEAN,
            flag,
            rng.choice(("true", "yes", "on")) if flag else rng.choice(("false", "no", "off")),
        )
    if kind == "list":
        items = rng.sample(NOUNS, rng.randint(2, 3))
        return (
            {"type": "array", "items": STRING},
            items,
            " and ".join(items) if len(items) == 2 else f"{items[0]}, {items[1]} and {items[2]}",
        )
    text = rng.choice(
        (
            coined(rng),
            coined(rng).capitalize(),
            code(rng),
            rng.choice(NOUNS),
            f"{name(rng)} {rng.choice(SURNAMES)}",
            rng.choice(CITIES)[0],
            f"{rng.choice(COLOURS)} {rng.choice(NOUNS)}",
        )
    )
    return STRING, text, rng.choice((text, text, f'"{text}"', f"'{text}'"))
