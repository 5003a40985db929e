"""Errors carry what a client needs and cross a process border whole."""

from __future__ import annotations

import inspect
import re

import msgspec
import pytest

from jackfield import errors
from jackfield.errors import (
    CapacityError,
    CheckpointError,
    ContextOverflow,
    ErrorRecord,
    JackfieldError,
    QueueFull,
    RequestError,
    did_you_mean,
)

CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, JackfieldError)
]


def test_an_error_has_its_class_code_and_no_extras_unless_given() -> None:
    error = ContextOverflow("too long")
    assert str(error) == error.message == "too long"
    assert (error.error_code, error.param, error.details, error.numbers, error.retry_after_s) == (
        "context_length_exceeded",
        None,
        [],
        {},
        None,
    )
    assert ContextOverflow("too long", code="other").error_code == "other"


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_crosses_a_process_border_whole(kind: type[JackfieldError]) -> None:
    error = kind("what failed", code="c", param="p", details=["d"], numbers={"n_ctx": 4096}, retry_after_s=3)
    wire = msgspec.msgpack.encode(error.to_record())
    rebuilt = JackfieldError.from_record(msgspec.msgpack.decode(wire, type=ErrorRecord))
    assert type(rebuilt) is kind
    assert rebuilt.to_record() == error.to_record()


def test_a_class_that_is_unknown_here_becomes_the_base() -> None:
    rebuilt = JackfieldError.from_record(ErrorRecord(kind="FromThePlugin", message="m", code="c"))
    assert type(rebuilt) is JackfieldError
    assert rebuilt.error_code == "c"


def test_a_class_of_a_plugin_is_found() -> None:
    class OwnError(RequestError):
        """A plugin's."""

    assert type(JackfieldError.from_record(OwnError("m").to_record())) is OwnError


def test_records_do_not_share_their_lists() -> None:
    first, second = CheckpointError("a"), CheckpointError("b")
    first.details.append("x")
    first.numbers["n"] = 1
    assert (second.details, second.numbers) == ([], {})


def test_the_tree_in_the_docstring_is_the_tree_in_code() -> None:
    drawn = re.findall(r"^([│ ]*)[├└]── (\w+)", inspect.getdoc(errors) or "", re.MULTILINE)
    parents: list[str] = ["JackfieldError"]
    tree: dict[str, str] = {}
    for indent, name in drawn:
        depth = len(indent) // 4
        tree[name] = parents[depth - 1]
        parents[depth:] = [name]
    assert tree == {
        kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not JackfieldError
    }


def test_capacity_errors_are_not_the_clients_fault() -> None:
    assert issubclass(QueueFull, CapacityError)
    assert not issubclass(QueueFull, RequestError)


def test_everything_public_is_exported() -> None:
    assert {kind.__name__ for kind in CLASSES} <= set(errors.__all__)


def test_the_nearest_name_is_offered_and_nothing_far() -> None:
    assert did_you_mean("cdua", ["cpu", "cuda"]) == " Did you mean 'cuda'?"
    assert did_you_mean("xyz", ["cpu", "cuda"]) == ""
    assert did_you_mean("x", []) == ""
