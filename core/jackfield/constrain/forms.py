"""From what an answer must look like to a grammar ``llguidance`` reads: one maker for each kind of constraint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
from llguidance import LLMatcher
from llguidance.gbnf_to_lark import gbnf_to_lark

from jackfield.constrain.limits import LIMITS, MAX_ENUM_VALUES, MAX_GBNF_RULES, check_schema, check_text
from jackfield.errors import RequestError
from jackfield.service.requests import Constraint
from jackfield.text.grammars import quoted

__all__ = ["COMPACT", "LENIENT", "Grammar", "form_grammar", "held_form", "json_grammar", "schema_problem"]

PARAM = "response_format"
Grammar = dict[str, Any]
"""One entry of the library's list of grammars: ``lark_grammar`` or ``json_schema``, and a name."""

COMPACT = {"whitespace_flexible": False}
"""JSON without optional blanks: a model could spend all its tokens on them."""

LENIENT = {**COMPACT, "lenient": True}
"""Keywords that no grammar can say are left out."""

AS_WRITTEN = {**COMPACT, "item_separator": ", ?", "key_separator": ": ?", "lenient": True}
"""JSON as models were trained to write it in calls: at most one blank after a comma or a colon.

Keywords that no grammar can say are left out: a tool is worth more than its ``uniqueItems``.
"""


def form_grammar(constraint: Constraint) -> Grammar:
    """Return the grammar of an answer.

    Raises:
        RequestError: The constraint is malformed or too large.
    """
    make = MAKERS.get(constraint.kind)
    assert make is not None, constraint.kind
    return make(constraint.value)


def held_form(constraint: Constraint) -> tuple[Grammar, str]:
    """Return the grammar of an answer, and what of a lenient schema had to be left out, in words.

    Raises:
        RequestError: The constraint is malformed or too large.
    """
    form = form_grammar(constraint)
    problem = schema_problem(constraint.value, COMPACT) if constraint.lenient else ""
    if not problem or schema_problem(constraint.value, LENIENT):
        return form, ""
    note = f"the answer is not held to all of its schema: {problem}"
    return json_grammar(constraint.value, LENIENT), note


def schema_problem(schema: dict[str, Any], options: dict[str, Any]) -> str:
    """Return why no grammar can say a schema; empty when one can."""
    grammar = {"grammars": [json_grammar(schema, options)]}
    message = LLMatcher.validate_grammar(msgspec.json.encode(grammar).decode(), limits=LIMITS)
    return " ".join(message.split())[:200]


def json_grammar(schema: Any, options: dict[str, Any] = COMPACT) -> Grammar:
    """Return the grammar of a JSON value; nothing in the schema can change how it is written."""
    return {"json_schema": {**schema, "x-guidance": options}}


def _any_object(_: Any) -> Grammar:
    return json_grammar({"type": "object"})


def _schema(value: Any) -> Grammar:
    check_schema(value)
    return json_grammar(value)


def _regex(value: Any) -> Grammar:
    wrapped: Any = msgspec.json.decode(LLMatcher.grammar_from_regex(check_text(value, "regex")))
    return {"lark_grammar": wrapped["grammars"][0]["lark_grammar"]}


def _choice(value: Any) -> Grammar:
    if not isinstance(value, list) or not value:
        raise RequestError("choice must be a list of texts", param=PARAM)
    if len(cast("Any", value)) > MAX_ENUM_VALUES:
        raise RequestError(f"choice has more than {MAX_ENUM_VALUES} texts", param=PARAM)
    texts = [check_text(text, "choice") for text in cast("Any", value)]
    return {"lark_grammar": f"start: {' | '.join(map(quoted, texts))}"}


def _lark(value: Any) -> Grammar:
    return {"lark_grammar": check_text(value, "lark")}


def _gbnf(value: Any) -> Grammar:
    text = check_text(value, "gbnf")
    if text.count("::=") > MAX_GBNF_RULES:
        raise RequestError(f"the GBNF grammar has more than {MAX_GBNF_RULES} rules", param=PARAM)
    try:
        return _lark(gbnf_to_lark(text))
    except Exception as error:  # the converter raises bare ones, and runs over the end of some texts
        raise RequestError(f"the GBNF grammar cannot be read: {_reason(error)}", param=PARAM) from None


def _reason(error: Exception) -> str:
    if isinstance(error, IndexError):
        return "it ends inside a literal"
    return " ".join(str(error).split())[:300]


MAKERS: dict[str, Callable[[Any], Grammar]] = {
    "json": _any_object,
    "schema": _schema,
    "regex": _regex,
    "choice": _choice,
    "lark": _lark,
    "gbnf": _gbnf,
}
