"""Text to JSON: fields taken from a text, with a schema in the system prompt or without."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import Check, Message, Sample, phrase
from jackfield_plugins.demo.training.skills.records import REAL, SOURCES, TEXT, Schema
from jackfield_plugins.demo.training.words import coined, joined

__all__ = ["JSON_INSTRUCTION", "SCHEMA_INSTRUCTION", "SYSTEMS", "dumped", "extraction", "schema_of"]

JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no prose, no code fence."
SCHEMA_INSTRUCTION = "Answer with one JSON value that fits this JSON schema, and nothing else: no prose, no code fence.\n{schema}"
SYSTEMS = ("", "", "You are a helpful assistant.", "You are a concise extraction assistant.", "You extract data from text.",
           "Extract the event information.", "You are an information extraction engine.", "Extract the requested fields.")  # fmt: skip
ABSENT = (
    ("middle_name", TEXT),
    ("phone", TEXT),
    ("email", TEXT),
    ("website", TEXT),
    ("address", TEXT),
    ("notes", TEXT),
    ("nickname", TEXT),
    ("discount", REAL),
    ("zip_code", TEXT),
    ("comment", TEXT),
)
ASKS = (
    "Extract the {keys} from: {text}", "Extract the {keys} from: {text}", "Extract {keys} from this text: {text}", "Extract the {keys} from the following text:\n\n{text}",
    "Find the {keys} in this text.\n\n{text}", "{text}\n\nExtract the {keys}.", "What are the {keys} in: {text}", "Get the {keys}: {text}", "{text}", "{text}", "Extract the information: {text}",
    "Extract the data from this text:\n{text}", "Parse this: {text}", "Text: {text}\nReturn {keys}.", "{text} Return the {keys}.",
)  # fmt: skip
PLAIN_ASKS = (
    "Extract the {keys} from this text as JSON: {text}", "Extract the {keys} as JSON.\n\n{text}", "Return a JSON object with the keys {keys} for: {text}",
    "{text}\n\nReturn JSON with the fields {keys}.", "Convert to JSON with the keys {keys}: {text}", "Respond using JSON with {keys}. {text}",
    "Give me the {keys} as a JSON object: {text}", "{text} Respond using JSON with the keys {keys}.",
)  # fmt: skip


def dumped(rng: Random, value: Any) -> str:
    """Write JSON without blanks, as a mask makes it, or now and then with them."""
    separators = (",", ":") if rng.random() < 0.8 else (", ", ": ")
    return json.dumps(value, ensure_ascii=False, separators=separators)


def schema_of(rng: Random, properties: dict[str, Schema], required: list[str]) -> Schema:
    """Return an object's schema, with the trimmings that libraries add."""
    schema: Schema = {"type": "object", "properties": properties, "required": required}
    if rng.random() < 0.5:
        schema["additionalProperties"] = False
    if rng.random() < 0.25:
        schema = {"title": coined(rng).capitalize(), **schema}
    if rng.random() < 0.2:
        schema["properties"] = {k: {**v, "title": k.replace("_", " ").title()} for k, v in properties.items()}
    elif rng.random() < 0.2:
        schema["properties"] = {
            k: {**v, "description": f"The {k.replace('_', ' ')}"} for k, v in properties.items()
        }
    return schema


def extraction(rng: Random) -> Sample:
    """Teach one extraction."""
    text, fields = rng.choice(SOURCES)(rng)
    fields = rng.sample(fields, rng.randint(1, min(5, len(fields)))) if rng.random() < 0.5 else fields[:5]
    value: dict[str, Any] = {}
    properties: dict[str, Schema] = {}
    for field in fields:
        key = field.names[0] if rng.random() < 0.6 else rng.choice(field.names)
        if key in value:
            continue
        value[key], properties[key] = field.value, field.schema
        if field.schema is TEXT and rng.random() < 0.08:
            properties[key] = {"type": ["string", "null"]}
    names = joined([key.replace("_", " ") if rng.random() < 0.7 else key for key in value])
    _add_absent(rng, value, properties)
    if rng.random() < 0.25:
        return _without_schema(rng, text, value)
    schema = schema_of(rng, properties, list(value))
    content = phrase(rng, rng.choice(ASKS)).replace("{keys}", names).replace("{text}", text)
    system = f"{rng.choice(SYSTEMS)}\n\n{SCHEMA_INSTRUCTION.format(schema=json.dumps(schema, ensure_ascii=False, separators=(',', ':')))}".strip()
    return _sample(rng, system, content, value)


def _add_absent(rng: Random, value: dict[str, Any], properties: dict[str, Schema]) -> None:
    """Ask for something that the text does not hold: the answer is null; a confidence is high."""
    if rng.random() < 0.25:
        key, kind = rng.choice(ABSENT)
        if key not in value and not any(key in k or k in key for k in value):
            value[key] = None
            properties[key] = (
                {"type": [kind["type"], "null"]}
                if rng.random() < 0.7
                else {"anyOf": [kind, {"type": "null"}]}
            )
    if rng.random() < 0.12 and "confidence" not in value:
        form = rng.choice(
            (
                {"type": ["string", "null"]},
                {"type": "string"},
                {"type": "string", "enum": ["low", "medium", "high"]},
                {"type": "number"},
            )
        )
        value["confidence"] = 0.9 if form == REAL else "high"
        properties["confidence"] = form


def _without_schema(rng: Random, text: str, value: dict[str, Any]) -> Sample:
    keys = joined(list(value))
    content = rng.choice(PLAIN_ASKS).replace("{keys}", keys).replace("{text}", text)
    system = rng.choice(
        ("", "", JSON_INSTRUCTION, JSON_INSTRUCTION, f"You are a helpful assistant.\n\n{JSON_INSTRUCTION}")
    )
    return _sample(rng, system, content, value)


def _sample(rng: Random, system: str, content: str, value: Any) -> Sample:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    thought = f"I look for {joined([str(key) for key in value])} in the text."
    messages += [
        {"role": "user", "content": content},
        {"role": "assistant", "content": dumped(rng, value), "thinking": thought},
    ]
    return Sample("extraction", messages, f"extraction: {content}", Check(equals=value))
