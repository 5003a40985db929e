"""A function as it is offered, and one use of it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

__all__ = ["BOOLEAN", "INTEGER", "NUMBER", "STRING", "Schema", "Use", "one_of", "tool"]

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}


@dataclass(frozen=True)
class Use:
    """A function, what the user says that calls for it, the call, its result and what is told then.

    Attributes:
        clause: The wish as a clause, to be joined with others.
    """

    tool: dict[str, Any]
    request: str
    clause: str
    arguments: dict[str, Any]
    result: str
    told: str

    @property
    def name(self) -> str:
        """The function's name."""
        return str(self.tool["name"])


def tool(
    rng: Random, function: str, description: str, parameters: dict[str, Schema], required: list[str]
) -> dict[str, Any]:
    """Return a definition, with or without what clients add or leave out."""
    properties = {key: dict(value) for key, value in parameters.items()}
    draw = rng.random()
    for key, value in properties.items():
        if draw < 0.35:
            value["description"] = rng.choice(
                (
                    f"The {key.replace('_', ' ')}",
                    f"The {key.replace('_', ' ')} to use",
                    key.replace("_", " ").capitalize(),
                )
            )
        elif draw < 0.45:
            value = {"title": key.replace("_", " ").title(), **value}
            properties[key] = value
    schema: Schema = {"type": "object", "properties": properties}
    if required or rng.random() < 0.5:
        schema["required"] = required
    if rng.random() < 0.25:
        schema["additionalProperties"] = False
    return {"name": function, "description": description if rng.random() < 0.9 else "", "parameters": schema}


def one_of(*values: str) -> Schema:
    """Return the schema of a text that is one of these."""
    return {"type": "string", "enum": list(values)}
