from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.text.coercion import coerce, is_text_only
from jackfield.text.json_prefix import MAX_DEPTH, MAX_NUMBER_CHARS, JsonPrefix

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def taken(text: str) -> JsonPrefix:
    prefix = JsonPrefix()
    prefix.take(text)
    return prefix


@settings(deadline=None)
@given(value=values, indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_every_beginning_of_json_can_be_completed(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    for end in range(len(text) + 1):
        prefix = taken(text[:end])
        assert not prefix.has_failed
        json.loads(prefix.text + prefix.closing())
    prefix = taken(text)
    prefix.end()
    assert prefix.is_complete
    assert prefix.text == text


@settings(deadline=None)
@given(value=values, cut=st.integers(0, 60))
def test_json_in_two_pieces_is_the_same_json(value: Any, cut: int) -> None:
    text = json.dumps([value])
    prefix = taken(text[:cut])
    prefix.take(text[cut:])
    assert (prefix.text, prefix.is_complete) == (text, True)


@pytest.mark.parametrize(
    ("text", "used"),
    [("{a", 1), ('{"a" 1', 5), ("[1}", 2), ("--", 1), ("tru3", 3), ("[,]", 1), ('{"a":}', 5), ('"\\u12g', 5)],
)
def test_what_is_no_json_is_refused_where_it_begins(text: str, used: int) -> None:
    prefix = JsonPrefix()
    assert prefix.take(text) == used
    assert prefix.has_failed
    json.loads(prefix.text + prefix.closing())


def test_nothing_is_taken_behind_the_value() -> None:
    prefix = JsonPrefix()
    assert prefix.take('{"a": 1} more') == 8
    assert prefix.is_complete


@pytest.mark.parametrize(
    ("text", "repaired"),
    [('["a\nb\t"]', '["a\\nb\\t"]'), ('["\\d"]', '["\\\\d"]'), ('{"a":1,}', '{"a":1}'), ("[1 , ]", "[1 ]")],
)
def test_what_models_get_wrong_is_put_right(text: str, repaired: str) -> None:
    assert taken(text).text == repaired


def test_numbers_are_bounded() -> None:
    prefix = JsonPrefix()
    assert prefix.take('{"a": ' + "1" * (MAX_NUMBER_CHARS + 1)) == 6 + MAX_NUMBER_CHARS
    assert prefix.has_failed


def test_nesting_is_bounded() -> None:
    prefix = JsonPrefix()
    assert prefix.take("[" * (MAX_DEPTH + 1)) == MAX_DEPTH
    assert prefix.has_failed


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("42", {"type": "string"}, "42"),
        ("42", {"type": "integer"}, 42),
        ("42.0", {"type": "integer"}, 42),
        ("4.5", {"type": ["integer", "number"]}, 4.5),
        ("TRUE", {"type": "boolean"}, True),
        ("null", {"type": ["string", "null"]}, None),
        ("NULL", {}, None),
        ("null", {"type": "string"}, "null"),
        ("[1]", {"type": "array"}, [1]),
        ('{"a": 1}', {"anyOf": [{"type": "object"}, {"type": "string"}]}, {"a": 1}),
        ("maybe", {"type": "boolean"}, "maybe"),
        ("true", {"type": "integer"}, True),
        ("7", {}, 7),
        ('"quoted"', {}, '"quoted"'),
        ("a\nb", {}, "a\nb"),
        ("7", {"enum": ["7", "8"]}, "7"),
        ("NaN", {}, "NaN"),
    ],
)
def test_a_text_becomes_what_the_schema_declares(text: str, schema: dict[str, Any], value: object) -> None:
    assert coerce(text, schema) == value
    assert type(coerce(text, schema)) is type(value)


def test_only_strings_are_text_as_they_stand() -> None:
    assert is_text_only({"type": "string"})
    assert not is_text_only({"type": ["string", "null"]})
    assert not is_text_only({})
