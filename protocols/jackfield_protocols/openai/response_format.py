"""``response_format``: what it asks for, and every way it can be wrong, in the contract's order."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from jackfield.constrain.strict_schema import strict_schema_problems
from jackfield.errors import InvalidOutput, RequestError
from jackfield.service.requests import Constraint, ConstraintKind
from jackfield_protocols.openai.bodies import FormFields

__all__ = ["check_output", "constraint_from", "extended_constraint"]

PARAM = "response_format"


def constraint_from(
    given: Any,
    *,
    think: bool,
    tools: bool,
    composes: bool,
    param: str = PARAM,
    needs_strict: bool = True,
) -> Constraint | None:
    """Return the constraint a ``response_format`` asks for; ``None`` for plain text.

    Args:
        param: What the client calls the field.
        needs_strict: A schema must be strict; else only one that says so is held to the strict rules.
        think: Whether the request asks for thinking.
        tools: Whether it offers tools.
        composes: The client opted in to structured output together with either; the contract refuses.

    Raises:
        RequestError: Each wrong input has its own message; an invalid schema lists what is wrong in
            ``details``.
    """
    if given is None:
        return None
    if not isinstance(given, dict):
        raise RequestError(f"{param} must be an object", param=param)
    wrapper = cast("dict[str, Any]", given)
    kind = wrapper.get("type")
    if not isinstance(kind, str):
        raise RequestError(f"{param}.type is required", param=f"{param}.type")
    if kind == "text":
        return None
    constraint = _structured(kind, wrapper, param)
    if think and not composes:
        raise RequestError(f"{param} cannot be combined with think=true", param=param)
    if tools and not composes:
        raise RequestError(f"{param} cannot be combined with tools", param=param)
    if constraint.kind == "schema":
        fields = wrapper.get("json_schema", wrapper)
        if needs_strict or fields.get("strict") is True:
            _check_schema(fields, constraint, param)
    return constraint


def extended_constraint(body: FormFields) -> Constraint | None:
    """Return what the fields of other servers ask for: vLLM's and llama-server's. The first that is set counts."""
    outputs = body.structured_outputs or {}
    candidates: tuple[tuple[ConstraintKind, Any], ...] = (
        ("schema", outputs.get("json")),
        ("regex", outputs.get("regex")),
        ("choice", outputs.get("choice")),
        ("lark", outputs.get("grammar")),
        ("schema", body.guided_json),
        ("regex", body.guided_regex),
        ("choice", body.guided_choice),
        ("lark", body.guided_grammar),
        ("schema", body.json_schema),
        ("gbnf", body.grammar),
    )
    for kind, value in candidates:
        if value is not None:
            return Constraint(kind=kind, value=value)
    return None


def check_output(constraint: Constraint | None, text: str) -> None:
    """Refuse an answer in JSON that was cut short: the limit came before its end.

    Raises:
        InvalidOutput: With what is wrong in ``details``.
    """
    if constraint is None or constraint.kind not in ("json", "schema"):
        return
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidOutput(
            "the answer is no whole JSON value: the token limit came first; raise max_tokens",
            details=[f"$: {error}"],
        ) from None


def _structured(kind: str, wrapper: dict[str, Any], param: str) -> Constraint:
    if kind == "json_object":
        return Constraint(kind="json")
    if kind != "json_schema":
        raise RequestError(
            f"{param} has unsupported type {kind!r}, expected text, json_object or json_schema",
            param=f"{param}.type",
        )
    inner = wrapper.get("json_schema", wrapper if "schema" in wrapper else None)
    if not isinstance(inner, dict):
        raise RequestError(f"{param}.json_schema must be an object", param=f"{param}.json_schema")
    fields = cast("dict[str, Any]", inner)
    name, schema = fields.get("name"), fields.get("schema")
    if not isinstance(name, str) or not name:
        raise RequestError(f"{param}.json_schema.name is required", param=f"{param}.json_schema.name")
    if not isinstance(schema, dict):
        raise RequestError(
            f"{param}.json_schema.schema must be an object", param=f"{param}.json_schema.schema"
        )
    return Constraint(kind="schema", value=schema, name=name)


def _check_schema(fields: dict[str, Any], constraint: Constraint, param: str) -> None:
    problems = [] if fields.get("strict") is True else ["json_schema.strict must be true"]
    problems += strict_schema_problems(constraint.value)
    if problems:
        raise RequestError(
            f"{param}.json_schema is invalid: {'; '.join(problems)}",
            param=f"{param}.json_schema.schema",
            code="invalid_json_schema",
            details=problems,
        )
