"""Answers that run out of tokens: what was asked for is closed in time, and what cannot be is a valid beginning."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import jsonschema
import numpy as np
import pytest

from jackfield.constrain.grammar import Grammars
from jackfield.constrain.masks import GrammarMask
from jackfield.service.requests import Constraint
from jackfield.text.contract import Tokenizer
from jackfield.text.json_prefix import JsonPrefix

NUM_SCHEMAS = 5_000 if os.environ.get("JACKFIELD_LONG_TESTS") else 500
LIMITS = (3, 12, 24, 48, 96)


def pick(mask: GrammarMask, logits: np.ndarray) -> int:
    """Pick as the sampler does: the best of what is allowed, until it is admitted."""
    for _ in range(12):
        flags = np.unpackbits(mask.bitmask().view(np.uint8), bitorder="little")[: logits.size]
        token = int(np.where(flags, logits, -np.inf).argmax())
        assert flags[token]
        if mask.admits(token):
            return token
    raise AssertionError("nothing is admitted")


def answer(
    grammar: Any, tokenizer: Tokenizer, max_tokens: int, draw: np.random.Generator
) -> tuple[bytes, bool]:
    """Return an answer by random logits that hardly ever want to end, and whether it ended by itself."""
    mask = grammar.mask(max_tokens)
    said = b""
    for _ in range(max_tokens):
        logits = draw.normal(size=tokenizer.vocab_size)
        logits[list(tokenizer.special.eog)] -= 3
        token = pick(mask, logits)
        if token in tokenizer.special.eog:
            return said, True
        said += tokenizer.piece(token)
        mask.accept(token)
    return said, False


def schema_of(draw: np.random.Generator, depth: int = 0) -> dict[str, Any]:
    """Return a random schema of kinds that are common."""
    leaves: list[dict[str, Any]] = [
        {"type": "string"},
        {"type": "string", "maxLength": 6},
        {"type": "string", "pattern": "^[a-c]{2}-[0-9]+$"},
        {"type": "integer"},
        {"type": "integer", "minimum": 10, "maximum": 99},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["red", "é", 3, None]},
        {"const": "fixed"},
    ]
    kind = draw.integers(0, 16) if depth < 3 else draw.integers(0, 10)
    if kind < 10:
        return leaves[int(kind)]
    if kind < 12:
        return {"type": "array", "items": schema_of(draw, depth + 1), "minItems": int(draw.integers(0, 3))}
    if kind < 13:
        return {"anyOf": [schema_of(draw, depth + 1) for _ in range(2)]}
    return object_of(draw, depth)


def object_of(draw: np.random.Generator, depth: int = 0) -> dict[str, Any]:
    names = [str(name) for name in draw.permutation(["a", "city", "naïve", "x y"])[: draw.integers(0, 4)]]
    return {
        "type": "object",
        "properties": {name: schema_of(draw, depth + 1) for name in names},
        "required": [name for name in names if draw.random() < 0.6],
        "additionalProperties": False,
    }


def is_beginning(text: str) -> bool:
    prefix = JsonPrefix()
    return prefix.take(text) == len(text) and not prefix.has_failed


def test_random_answers_to_random_schemas_are_valid_or_valid_beginnings(
    grammars: Grammars, tokenizer: Tokenizer
):
    num_whole = 0
    for seed in range(NUM_SCHEMAS):
        draw = np.random.default_rng(seed)
        schema = object_of(draw)
        limit = LIMITS[seed % len(LIMITS)]
        said, is_ended = answer(grammars.of_text(Constraint("schema", schema)), tokenizer, limit, draw)
        if is_ended:
            num_whole += 1
            jsonschema.validate(json.loads(said), schema)
        else:
            assert is_beginning(said.decode("utf-8", "ignore")), said
    assert num_whole > 0.7 * NUM_SCHEMAS


@pytest.mark.parametrize(
    ("kind", "value", "pattern", "limit"),
    [
        ("regex", "[a-z]+@[a-z]+[.]com", r"[a-z]+@[a-z]+\.com", 24),
        ("regex", "(ab)*c", "(ab)*c", 9),
        ("choice", ["no", "a rather long answer that takes many tokens"], "no|a rather.*", 6),
        ("lark", 'start: "<" item* ">"\nitem: "(" start ")" | /[a-z]+/', "<.*>", 16),
        ("gbnf", 'root ::= "[" ([0-9]+ ",")* "end]"', r"\[([0-9]+,)*end\]", 20),
        ("json", None, r"\{.*\}", 10),
    ],
)
def test_every_form_is_closed_in_time(
    grammars: Grammars, tokenizer: Tokenizer, kind: Any, value: Any, pattern: str, limit: int
):
    for seed in range(10):
        grammar = grammars.of_text(Constraint(kind, value))
        said, is_ended = answer(grammar, tokenizer, limit, np.random.default_rng(seed))
        assert is_ended, said
        assert re.fullmatch(pattern, said.decode(), re.DOTALL), said


@pytest.mark.parametrize("begun", ['{"', '{"k":"v","', '{"k":{"', '{"k":"', '{"k":[{"', '{"k":['])
@pytest.mark.parametrize("limit", [24, 60])
def test_a_model_that_never_ends_a_key_or_a_text_is_brought_to_an_end(
    grammars: Grammars, tokenizer: Tokenizer, begun: str, limit: int
):
    mask = grammars.of_text(Constraint("json")).mask(limit)
    logits = np.zeros(tokenizer.vocab_size)
    logits[tokenizer.encode("a")] = 9
    said = b""
    for token in tokenizer.encode(begun):
        assert mask.admits(token)
        mask.accept(token)
        said += tokenizer.piece(token)
    for _ in range(limit - len(tokenizer.encode(begun))):
        token = pick(mask, logits)
        if token in tokenizer.special.eog:
            break
        said += tokenizer.piece(token)
        mask.accept(token)
    assert isinstance(json.loads(said), dict), said


def test_an_open_end_may_be_reached_by_the_limit_itself(grammars: Grammars, tokenizer: Tokenizer):
    said, is_ended = answer(
        grammars.of_text(Constraint("regex", "a+")), tokenizer, 5, np.random.default_rng(1)
    )
    assert re.fullmatch("a+", said.decode())
    assert not is_ended or len(said) >= 1


def test_an_answer_too_long_for_its_limit_is_a_valid_beginning(grammars: Grammars, tokenizer: Tokenizer):
    schema = {
        "type": "object",
        "properties": {"a long name": {"type": "string"}},
        "required": ["a long name"],
    }
    said, is_ended = answer(
        grammars.of_text(Constraint("schema", schema)), tokenizer, 2, np.random.default_rng(1)
    )
    assert not is_ended
    assert is_beginning(said.decode())


def test_a_refused_pick_narrows_what_is_allowed(grammars: Grammars, tokenizer: Tokenizer):
    mask = grammars.of_text(Constraint("regex", "b|(axq){60}")).mask(20)
    [token] = tokenizer.encode("a")
    before = int(np.bitwise_count(mask.bitmask()).sum())
    assert not mask.admits(token)
    assert int(np.bitwise_count(mask.bitmask()).sum()) < before
    assert mask.admits(tokenizer.encode("b")[0])
