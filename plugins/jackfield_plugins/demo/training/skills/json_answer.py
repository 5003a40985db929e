"""Questions answered with JSON, where there is no text to take it from."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import Check, Message, Sample, phrase
from jackfield_plugins.demo.training.facts import COUNTRIES
from jackfield_plugins.demo.training.skills.arithmetic import operands
from jackfield_plugins.demo.training.skills.extraction import (
    JSON_INSTRUCTION,
    SCHEMA_INSTRUCTION,
    SYSTEMS,
    dumped,
    schema_of,
)
from jackfield_plugins.demo.training.skills.knowledge import bare
from jackfield_plugins.demo.training.skills.records import REAL, TEXT, WHOLE, Schema
from jackfield_plugins.demo.training.skills.working import is_easy, result
from jackfield_plugins.demo.training.words import CITIES, FIRST_NAMES, SURNAMES, joined

__all__ = ["json_answer"]

Question = tuple[str, dict[str, Any], dict[str, Schema]]
"""What is asked, the value that answers it, and the schema of each of its fields."""


def json_answer(rng: Random) -> Sample:
    """Teach to answer a question, rather than a text, with JSON."""
    ask = rng.choice((about_country, calculation, calculation, made_up_person))
    question, value, properties = ask(rng)
    if ask is made_up_person:
        messages = _json_messages(rng, question, value, properties)
        return Sample("json answers", messages, f"json answers: {question} {rng.random()}", Check())
    plain = rng.random() < 0.4
    messages = (
        _plain_json(rng, question, value) if plain else _json_messages(rng, question, value, properties)
    )
    return Sample("json answers", messages, f"json answers: {messages[-2]['content']}", Check(equals=value))


def about_country(rng: Random) -> Question:
    """Ask for some of what is known of a country."""
    country, capital, continent, languages, currency = rng.choice(COUNTRIES)
    everything = {
        "name": bare(country),
        "country": bare(country),
        "capital": capital,
        "languages": languages.split(", "),
        "continent": continent,
        "currency": currency,
    }
    keys = rng.sample(list(everything), rng.randint(1, 4))
    if "name" in keys and "country" in keys:
        keys.remove("country")
    question = phrase(
        rng,
        "[Tell me about {c}.|Give me information about {c}.|Describe {c}.|{c}|What do you know about {c}?]",
        c=country,
    )
    properties: dict[str, Schema] = {
        key: {"type": "array", "items": TEXT} if key == "languages" else TEXT for key in keys
    }
    return question, {key: everything[key] for key in keys}, properties


def calculation(rng: Random) -> Question:
    """Ask for a result, as a number or a text, with a confidence or an explanation beside it."""
    a, op, b = operands(rng)
    while not is_easy(a, op, b) or (op == "/" and a % b):
        a, op, b = operands(rng)
    number = int(result(a, op, b))
    key = rng.choice(("answer", "answer", "result", "value", "final_answer"))
    form, said = rng.choice(
        ((WHOLE, number), (REAL, number), ({"type": ["string", "number"]}, number), (TEXT, str(number)))
    )
    value: dict[str, Any] = {key: said}
    properties: dict[str, Schema] = {key: dict(form)}
    if rng.random() < 0.5:
        level = rng.choice(({"type": ["string", "null"]}, TEXT))
        value["confidence"], properties["confidence"] = "high", dict(level)
    if rng.random() < 0.25:
        value = {"explanation": f"{a} {op} {b} = {number}", **value}
        properties = {"explanation": TEXT, **properties}
    question = phrase(
        rng,
        "[What is {it}?|What is {it}? Return the result.|Calculate {it}.|{it}]",
        it=f"{a}{op}{b}" if rng.random() < 0.4 else f"{a} {op} {b}",
    )
    return question, value, properties


def made_up_person(rng: Random) -> Question:
    """Ask for a person who does not exist: any value will do."""
    who = f"{rng.choice(FIRST_NAMES)} {rng.choice(SURNAMES)}"
    age, city = rng.randint(18, 80), rng.choice(CITIES)[0]
    question = phrase(
        rng,
        "[Invent a person.|Create a random user.|Make up a person.|Generate a user profile.|Give me a fictional person.]",
    )
    return question, {"name": who, "age": age, "city": city}, {"name": TEXT, "age": WHOLE, "city": TEXT}


def _json_messages(
    rng: Random, question: str, value: dict[str, Any], properties: dict[str, Schema]
) -> list[Message]:
    schema = schema_of(rng, properties, list(value))
    system = f"{rng.choice(SYSTEMS[:4])}\n\n{SCHEMA_INSTRUCTION.format(schema=json.dumps(schema, ensure_ascii=False, separators=(',', ':')))}".strip()
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
        {
            "role": "assistant",
            "content": dumped(rng, value),
            "thinking": "The answer must be JSON that fits the schema.",
        },
    ]


def _plain_json(rng: Random, question: str, value: dict[str, Any]) -> list[Message]:
    keys = joined(list(value))
    it = question.rstrip("?.").removeprefix("What is ")
    content = rng.choice((
        f"Return a JSON object with keys {keys} for {it}.", f"{question} Respond using JSON with the keys {keys}.", f"{question} Answer as JSON with {keys}.",
        f"Give me a JSON object with {keys}: {question}",
    ))  # fmt: skip
    system = rng.choice(("", JSON_INSTRUCTION, JSON_INSTRUCTION))
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return [
        *messages,
        {"role": "user", "content": content},
        {"role": "assistant", "content": dumped(rng, value), "thinking": f"The keys are {keys}."},
    ]
