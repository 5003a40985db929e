"""Getters return what is there, the default where nothing is, and else one sentence that names the key."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.errors import CheckpointError
from jackfield.gguf import Metadata, TextArray, open_checkpoint
from jackfield.gguf.limits import MAX_LIST
from jackfield.testing import raw

KEYS = [
    raw.key("general.architecture", raw.STRING, raw.text("llama")),
    raw.scalar("int", raw.UINT32, 7),
    raw.scalar("negative", raw.INT32, -1),
    raw.scalar("huge", raw.UINT64, 2**63),
    raw.scalar("float", raw.FLOAT32, 0.5),
    raw.scalar("nan", raw.FLOAT32, math.nan),
    raw.scalar("inf", raw.FLOAT64, math.inf),
    raw.scalar("bool", raw.BOOL, 1),
    raw.key("text", raw.STRING, raw.text("hello")),
    raw.key("broken text", raw.STRING, raw.text(b"a\xff\x00b")),
    raw.key("ints", raw.ARRAY, raw.array(raw.INT32, [raw.number(raw.INT32, n) for n in (1, 2, 3)])),
    raw.key("floats", raw.ARRAY, raw.array(raw.FLOAT32, [raw.number(raw.FLOAT32, n) for n in (1, 2)])),
    raw.key("nans", raw.ARRAY, raw.array(raw.FLOAT32, [raw.number(raw.FLOAT32, math.nan)])),
    raw.key("bools", raw.ARRAY, raw.array(raw.BOOL, [b"\1", b"\0"])),
    raw.key("texts", raw.ARRAY, raw.array(raw.STRING, [raw.text("x"), raw.text(b"\xff")])),
    raw.key("no ints", raw.ARRAY, raw.array(raw.UINT8, [])),
    raw.key("no texts", raw.ARRAY, raw.array(raw.STRING, [])),
    raw.key("long", raw.ARRAY, raw.array(raw.UINT8, [bytes(MAX_LIST + 1)], count=MAX_LIST + 1)),
]


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Metadata:
    path = tmp_path_factory.mktemp("metadata") / "m.gguf"
    path.write_bytes(raw.RawGguf(keys=KEYS).build())
    with open_checkpoint(path) as checkpoint:
        return checkpoint.metadata


def test_values_of_each_type_are_returned(metadata: Metadata) -> None:
    assert metadata.integer("int") == 7
    assert metadata.integer("huge") == 2**63
    assert metadata.number("float") == 0.5
    assert metadata.number("int") == 7.0
    assert metadata.boolean("bool") is True
    assert metadata.text("text") == "hello"
    assert metadata.integers("ints") == [1, 2, 3]
    assert metadata.numbers("floats") == [1.0, 2.0]
    assert metadata.booleans("bools") == [True, False]
    assert metadata.integers("no ints") == []
    assert metadata.texts("no texts") == []
    assert metadata.of_architecture("block_count") == "llama.block_count"


def test_bytes_that_are_not_utf8_survive_a_round_trip(metadata: Metadata) -> None:
    assert metadata.text("broken text").encode("utf-8", "surrogateescape") == b"a\xff\x00b"
    assert [text.encode("utf-8", "surrogateescape") for text in metadata.texts("texts")] == [b"x", b"\xff"]


GETTERS = [
    "integer",
    "number",
    "boolean",
    "text",
    "integers",
    "numbers",
    "booleans",
    "texts",
]


@pytest.mark.parametrize("getter", GETTERS)
def test_an_absent_key_gives_the_default(metadata: Metadata, getter: str) -> None:
    default = object()
    assert getattr(metadata, getter)("absent", default) is default
    assert getattr(metadata, getter)("absent", None) is None


@pytest.mark.parametrize("getter", GETTERS)
def test_a_required_key_that_is_absent_is_named_with_the_nearest(metadata: Metadata, getter: str) -> None:
    with pytest.raises(
        CheckpointError, match=r"'m.gguf': required key 'flots' is missing. Did you mean"
    ) as caught:
        getattr(metadata, getter)("flots")
    assert caught.value.param == "flots"


RIGHT = {
    "integer": {"int", "negative", "huge"},
    "number": {"int", "negative", "huge", "float"},
    "boolean": {"bool"},
    "text": {"text", "broken text", "general.architecture"},
    "integers": {"ints", "no ints"},
    "numbers": {"floats"},
    "booleans": {"bools"},
    "texts": {"texts", "no texts"},
}


@pytest.mark.parametrize("getter", GETTERS)
def test_every_value_of_another_type_is_refused_by_name(metadata: Metadata, getter: str) -> None:
    for key in metadata:
        if key in RIGHT[getter]:
            getattr(metadata, getter)(key)
            continue
        with pytest.raises(CheckpointError, match=rf"'m.gguf': key '{key}' .*\(byte \d+\)"):
            getattr(metadata, getter)(key)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.integer("int", minimum=8), "'int' is 7; expected at least 8"),
        (lambda m: m.integer("int", maximum=6), "'int' is 7; expected at most 6"),
        (lambda m: m.number("float", minimum=1.0), "'float' is 0.5; expected at least 1.0"),
        (lambda m: m.number("nan"), "'nan' is nan; expected a finite number"),
        (lambda m: m.number("inf"), "'inf' is inf; expected a finite number"),
        (lambda m: m.numbers("nans"), "'nans' holds a number that is not finite"),
        (lambda m: m.integer("text"), "'text' is of type STRING; expected a whole number"),
        (lambda m: m.integer("bool"), "'bool' is of type BOOL; expected a whole number"),
        (lambda m: m.integers("long"), "'long' has 1048577 elements; at most 1048576 are read"),
        (lambda m: m.per_layer("ints", 4), "'ints' has 3 elements; expected one for each of 4 layers"),
        (lambda m: m.per_layer("ints", 3, maximum=2), "'ints' is 3; expected at most 2"),
        (lambda m: m.per_layer("text", 3), "'text' is of type STRING; expected a whole number"),
        (lambda m: m.per_layer("absent", 3), "required key 'absent' is missing"),
    ],
)
def test_values_out_of_bounds_are_refused(
    metadata: Metadata, call: Callable[[Metadata], Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        call(metadata)


def test_bounds_are_included(metadata: Metadata) -> None:
    assert metadata.integer("int", minimum=7, maximum=7) == 7
    assert metadata.number("float", minimum=0.5, maximum=0.5) == 0.5


def test_one_number_stands_for_every_layer(metadata: Metadata) -> None:
    assert metadata.per_layer("int", 3) == [7, 7, 7]
    assert metadata.per_layer("ints", 3) == [1, 2, 3]
    assert metadata.per_layer("absent", 2, 5) == [5, 5]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (raw.text("evil\nname"), r"is 'evil\\nname'; expected a short name"),
        (raw.text("x" * 100_000), r"is 'x{77}\.\.\.'; expected a short name"),
        (raw.text(""), "is ''; expected a short name"),
    ],
)
def test_an_architecture_is_a_short_name(tmp_path: Path, value: bytes, message: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(raw.RawGguf(keys=[raw.key("general.architecture", raw.STRING, value)]).build())
    with open_checkpoint(path) as checkpoint, pytest.raises(CheckpointError, match=message):
        assert checkpoint.architecture


def test_a_file_without_an_architecture_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(raw.RawGguf().build())
    with open_checkpoint(path) as checkpoint, pytest.raises(CheckpointError, match=r"general\.architecture"):
        assert checkpoint.architecture


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.sampled_from(b"\x00A\xe2\x82\xac\xc3\xf0\x9f\xff"), max_size=5), max_size=8))
def test_strings_read_together_are_those_read_one_by_one(texts: list[list[int]]) -> None:
    raw, ends = b"", array("Q")
    for text in texts:
        raw += struct.pack("<Q", len(text)) + bytes(text)
        ends.append(len(raw))
    strings = TextArray(raw, ends)
    assert list(strings) == [strings[i] for i in range(len(texts))]
    assert list(strings) == [bytes(text).decode("utf-8", "surrogateescape") for text in texts]
