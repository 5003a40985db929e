"""Masks keep every constraint, whatever the logits; bad constraints are refused before they cost anything."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.constrain.combined import BothMasks
from jackfield.constrain.grammar import Grammars
from jackfield.constrain.limits import MAX_DEPTH
from jackfield.constrain.masks import GrammarMask
from jackfield.constrain.strict_schema import strict_schema_problems
from jackfield.errors import RequestError
from jackfield.service.requests import Constraint
from jackfield.text.contract import Tokenizer

MOST_TOKENS = 400


def allowed_ids(mask: Any, tokenizer: Tokenizer) -> np.ndarray:
    bits = np.unpackbits(mask.bitmask().view(np.uint8), bitorder="little")
    return np.nonzero(bits[: tokenizer.vocab_size])[0]


def random_answer(mask: GrammarMask, tokenizer: Tokenizer, seed: int) -> tuple[str, bool]:
    """Pick allowed tokens at random; return the text and whether it ended by itself."""
    draw = np.random.default_rng(seed)
    answer = b""
    for _ in range(MOST_TOKENS):
        token = int(draw.choice(allowed_ids(mask, tokenizer)))
        if token in tokenizer.special.eog:
            return answer.decode(), True
        answer += tokenizer.piece(token)
        mask.accept(token)
    return answer.decode("utf-8", "ignore"), False


LEAVES = st.sampled_from(
    [
        {"type": "integer"},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["a", "b"]},
        {"type": ["null", "boolean"]},
    ]
)
SCHEMAS = st.dictionaries(st.sampled_from(["city", "n", "ok", "é"]), LEAVES, min_size=1, max_size=4).map(
    lambda properties: {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
)


@settings(max_examples=40, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 2**31))
def test_every_finished_answer_fits_its_schema(
    grammars: Grammars, tokenizer: Tokenizer, schema: dict, seed: int
):
    answer, is_finished = random_answer(
        grammars.of_text(Constraint("schema", schema)).mask(), tokenizer, seed
    )
    if is_finished:
        jsonschema.validate(json.loads(answer), schema)


@pytest.mark.parametrize("seed", range(10))
def test_choices_regexes_and_grammars_are_kept(grammars: Grammars, tokenizer: Tokenizer, seed: int):
    def answer(kind: Any, value: Any) -> str:
        text, is_finished = random_answer(grammars.of_text(Constraint(kind, value)).mask(), tokenizer, seed)
        assert is_finished
        return text

    assert answer("choice", ["yes", 'a "no"']) in ("yes", 'a "no"')
    assert re.fullmatch("[a-c]{2}-[0-9]", answer("regex", "[a-c]{2}-[0-9]"))
    assert answer("lark", 'start: "x" ("y" | "z")') in ("xy", "xz")
    assert answer("gbnf", 'root ::= "p" ("q" | "r")') in ("pq", "pr")


def test_json_is_written_without_blanks(grammars: Grammars, tokenizer: Tokenizer):
    mask = grammars.of_text(Constraint("json")).mask()
    for token in tokenizer.encode("{"):
        mask.accept(token)
    texts = {tokenizer.piece(int(token)) for token in allowed_ids(mask, tokenizer)}
    assert not any(text[:1].isspace() for text in texts)


def test_only_ending_tokens_are_left_after_a_whole_answer(grammars: Grammars, tokenizer: Tokenizer):
    mask = grammars.of_text(Constraint("choice", ["yes"])).mask()
    for token in tokenizer.encode("yes"):
        mask.accept(token)
    assert mask.is_complete
    assert set(allowed_ids(mask, tokenizer).tolist()) == set(tokenizer.special.eog)


def test_masks_of_one_grammar_do_not_share_progress(grammars: Grammars, tokenizer: Tokenizer):
    first, second = (grammars.of_text(Constraint("choice", ["ab"])).mask() for _ in range(2))
    first.accept(tokenizer.encode("a")[0])
    assert set(allowed_ids(second, tokenizer)) != set(allowed_ids(first, tokenizer))


DEEP: dict[str, Any] = {}
for _ in range(MAX_DEPTH + 1):
    DEEP = {"properties": {"x": DEEP}}


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("schema", [], "expected an object"),
        ("schema", {"type": "objekt"}, "objekt"),
        ("schema", DEEP, "nests deeper"),
        ("schema", {"enum": list(range(2000))}, "more than 1000 values"),
        ("schema", {"type": "string", "maxLength": 2**31}, "maxLength is 2147483648"),
        ("schema", {"$ref": "http://example.com/x"}, "not local"),
        ("schema", {"title": "x" * 70_000}, "bytes"),
        ("regex", "(" * 60_000, "groups"),
        ("regex", "(?<x", "cannot be compiled"),
        ("regex", 3, "must be a text"),
        ("choice", [], "list of texts"),
        ("choice", ["x"] * 1001, "more than 1000 texts"),
        ("lark", "start: missing", "cannot be compiled"),
        ("gbnf", "::", "GBNF|compiled"),
        ("gbnf", 'rot ::= "a"', "cannot be read: No 'root' rule found"),
        ("gbnf", "root ::= missing", "cannot be read: Rule 'missing' not found"),
        ("gbnf", 'root ::= "a\\', "cannot be read: it ends inside a literal"),
        ("gbnf", f'root ::= {"(" * 900}"a"{")" * 900}', "cannot be read: maximum recursion depth"),
        ("gbnf", 'r ::= "a" r\n' * 2000, "more than 300 rules"),
    ],
)
def test_a_bad_constraint_is_refused_with_its_reason(grammars: Grammars, kind: Any, value: Any, message: str):
    with pytest.raises(RequestError, match=message):
        grammars.of_text(Constraint(kind, value)).mask()


@pytest.mark.parametrize(
    "said",
    [{"uniqueItems": True}, {"contains": {"const": 2}}, {"items": {"type": "string", "format": "path"}}],
)
def test_what_no_grammar_can_say_is_left_out_of_a_lenient_form_and_told(
    grammars: Grammars, tokenizer: Tokenizer, said: dict[str, Any]
):
    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3, **said}
    with pytest.raises(RequestError, match="cannot be compiled"):
        grammars.of_text(Constraint("schema", schema))
    compiled = grammars.of_text(Constraint("schema", schema, lenient=True))
    assert "not held to all of its schema" in compiled.note
    answer, is_whole = random_answer(compiled.mask(), tokenizer, seed=1)
    assert not is_whole or 1 <= len(json.loads(answer)) <= 3


def test_a_lenient_form_without_such_words_is_as_strict(grammars: Grammars):
    assert grammars.of_text(Constraint("schema", {"type": "integer"}, lenient=True)).note == ""
    with pytest.raises(RequestError, match="look-around"):
        grammars.of_text(Constraint("schema", {"type": "string", "pattern": "^(?=a)b"}, lenient=True))


class Fixed:
    """A mask that always allows the same words of bits."""

    def __init__(self, bits: int | None) -> None:
        self.bits = bits
        self.accepted: list[int] = []

    def bitmask(self) -> np.ndarray | None:
        return None if self.bits is None else np.array([self.bits], np.uint32)

    def admits(self, token_id: int) -> bool:
        return True

    def accept(self, token_id: int) -> None:
        self.accepted.append(token_id)


def test_two_masks_allow_what_both_do_and_the_grammar_wins_a_deadlock():
    assert BothMasks(Fixed(0b110), Fixed(0b011)).bitmask() == 0b010
    assert BothMasks(Fixed(0b100), Fixed(0b011)).bitmask() == 0b100
    assert BothMasks(Fixed(None), Fixed(0b011)).bitmask() == 0b011
    assert BothMasks(Fixed(None), Fixed(None)).bitmask() is None


STRICT = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"anyOf": [STRICT]}, "root must have type"),
        ({**STRICT, "additionalProperties": True}, "additionalProperties must be false"),
        ({**STRICT, "properties": {"a": {"type": "string"}}}, "required must list 'a'"),
        ({**STRICT, "properties": {"a": {"type": "array"}}, "required": ["a"]}, "array needs items"),
        ({**STRICT, "properties": {"a": {"type": "text"}}, "required": ["a"]}, "unknown type 'text'"),
        ({**STRICT, "properties": {"a": {}}, "required": ["a"]}, "type is missing"),
        ({**STRICT, "properties": {"a": {"$ref": "x.json"}}, "required": ["a"]}, "not local"),
        ({**STRICT, "properties": {"a": {"type": "string", "pattern": "x"}}, "required": ["a"]}, "'pattern'"),
        ([], "must be an object"),
    ],
)
def test_the_contracts_strict_rules_are_named(schema: Any, problem: str):
    assert any(problem in found for found in strict_schema_problems(schema))


def test_a_strict_schema_has_no_problems_and_a_bad_one_at_most_sixteen():
    assert strict_schema_problems(STRICT) == []
    many = {**STRICT, "properties": {f"p{i}": {"type": "text"} for i in range(50)}}
    assert len(strict_schema_problems(many)) == 16


def test_the_vocabulary_is_built_soon_after_a_start_and_not_at_once(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jackfield.constrain.grammar.PREWARM_AFTER_S", 0.2)
    grammars = Grammars(tokenizer)
    grammars.prewarm()
    assert grammars._made is None
    deadline = time.monotonic() + 10
    while grammars._made is None:
        assert time.monotonic() < deadline, "it was never built"
        time.sleep(0.01)
