"""Whatever a service sends, Ollama's lines add up to the whole answer and to what the events say."""

from __future__ import annotations

import json
import random

import ollama
import pytest

from jackfield.service.events import Event
from jackfield.testing.event_streams import Heard, frames_of, heard_in, random_stream
from jackfield_protocols.ollama.frames import Answer, Dialect, Lines, chat_dialect


def heard_from(pieces: list[ollama.ChatResponse], ids: list[str]) -> Heard:
    calls = [call.function for piece in pieces for call in piece.message.tool_calls or ()]
    return Heard(
        text="".join(piece.message.content or "" for piece in pieces),
        thinking="".join(piece.message.thinking or "" for piece in pieces),
        calls=[(call_id, call.name, dict(call.arguments)) for call_id, call in zip(ids, calls, strict=True)],
    )


def whole(events: list[Event], dialect: Dialect) -> ollama.ChatResponse:
    answer = Answer("m", dialect)
    for event in events:
        answer.take(event)
    return ollama.ChatResponse(**answer.body())


@pytest.mark.parametrize("native", [True, False])
def test_streamed_and_whole_answers_say_what_the_events_say(native: bool) -> None:
    draw = random.Random(5)
    dialect = chat_dialect(native=native)
    for _ in range(150):
        events = random_stream(draw)
        said = heard_in(events)
        ids = [call_id for call_id, _, _ in said.calls]
        lines = frames_of(Lines("m", dialect), events).decode().split("\n")[:-1]
        streamed = [ollama.ChatResponse(**json.loads(line)) for line in lines]
        answer = whole(events, dialect)
        assert heard_from(streamed, ids) == heard_from([answer], ids) == said
        assert [piece.done for piece in streamed].count(True) == 1
        assert (streamed[-1].done, streamed[-1].done_reason) == (True, answer.done_reason)
        assert streamed[-1].eval_count == answer.eval_count
