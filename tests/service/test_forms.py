"""An answer of a given form is the form and nothing else, whatever the model would put before it."""

from __future__ import annotations

import pytest

from jackfield.service.requests import Constraint, Message
from jackfield.testing.stage import Stage, ending_of, make_request, saying, text_of
from jackfield_plugins.formats.plain import PlainFormat

YES = Constraint("choice", ["yes", "no"])


@pytest.mark.parametrize("wanted", ["yes", "\n\nyes", "  no"])
def test_blanks_before_a_form_are_no_part_of_the_answer(wanted: str) -> None:
    [events] = Stage(saying(wanted), chat_format=PlainFormat()).ask(
        make_request(user="Well?", constraint=YES)
    )
    assert text_of(events) == wanted.strip()
    assert ending_of(events).reason == "stop"


def test_blanks_within_a_form_and_of_a_raw_answer_stay() -> None:
    spaced = Constraint("regex", " ?a [a-z] b")
    [events] = Stage(saying("a x b"), chat_format=PlainFormat()).ask(
        make_request(user="Well?", constraint=spaced)
    )
    assert text_of(events) == "a x b"
    [events] = Stage(saying(" a x b")).ask(make_request(prompt="raw", constraint=spaced))
    assert text_of(events) == " a x b"


def test_a_continued_answer_keeps_its_blank() -> None:
    begun = [Message("user", "Well?"), Message("assistant", "I say")]
    request = make_request(messages=begun, continue_final_message=True, constraint=Constraint("regex", " no"))
    [events] = Stage(saying(" no"), chat_format=PlainFormat()).ask(request)
    assert text_of(events) == " no"
