"""Between the engine and a reader: events that merge, frames that come out whole, an answer that cannot be written."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.errors import (
    TooLarge,
)
from jackfield.service import frames
from jackfield.service.buffer import EventBuffer
from jackfield.service.events import (
    Event,
    Failed,
    Finished,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    Timings,
    Usage,
)
from jackfield.service.frames import FrameDecoder, encode_frame
from jackfield.service.outbox import Outbox
from jackfield.service.requests import Image, Message, ToolDefinition
from jackfield.testing.stage import make_request
from jackfield.text.portable import portable

END = Finished("stop", Usage(1, 0, 1), Timings(0, 0, 0, 0, 0))


def test_unread_deltas_of_one_kind_merge_and_places_replace_each_other() -> None:
    buffer = EventBuffer(1 << 20, lambda: None)
    for event in (QueuePlace(2, 2), QueuePlace(1, 2), TextDelta("a"), TextDelta("b"), TextDelta("c", 1)):
        buffer.put(event)
    buffer.put(ThinkingDelta("d"))
    buffer.put(END, is_last=True)
    buffer.put(TextDelta("late"))
    expected = [QueuePlace(1, 2), TextDelta("ab"), TextDelta("c", 1), ThinkingDelta("d"), END]
    assert buffer.take() == (expected, True)


def test_buffer_tells_when_it_is_full_and_when_no_longer() -> None:
    told: list[bool] = []
    buffer = EventBuffer(1000, lambda: None)
    buffer.on_change = lambda: told.append(buffer.is_full)
    for _ in range(20):
        buffer.put(TextDelta("x" * 100))
    buffer.take()
    assert told == [True, False]


def test_reader_is_woken_once_for_each_time_it_finds_nothing() -> None:
    wakes: list[int] = []
    buffer = EventBuffer(1000, lambda: wakes.append(1))
    for _ in range(3):
        buffer.put(TextDelta("x"))
        buffer.put(TextDelta("x"))
        buffer.take()
    assert len(wakes) == 3


@given(st.lists(st.text(max_size=50), min_size=1, max_size=20), st.integers(1, 40))
def test_frames_come_out_whole_however_the_bytes_are_cut(texts: list[str], cut: int) -> None:
    events: list[Event] = [TextDelta(text) for text in texts]
    sent = [frames.Events(index, [event], False) for index, event in enumerate(events)]
    data = b"".join(encode_frame(report) for report in sent)
    decoder = FrameDecoder()
    received = [
        frames.decode_report(frame)
        for start in range(0, len(data), cut)
        for frame in decoder.feed(data[start : start + cut])
    ]
    assert received == sent


def test_frame_that_claims_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="claims 4294967295 bytes"):
        list(FrameDecoder().feed(b"\xff\xff\xff\xff"))
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 10)
    with pytest.raises(TooLarge, match="at most 10 can"):
        encode_frame(frames.Logged("name", 10, "x" * 100))


def test_integers_that_msgpack_has_not_are_passed_on_as_floats() -> None:
    schema = {"maximum": 10**30, "minimum": -(10**400), "default": 2**64 - 1, "x": [True, 2**64]}
    picture = Message("user", "What?", images=[Image(b"\x00\xff")])
    request = make_request(messages=[picture], tools=[ToolDefinition("f", "", schema)])
    order = frames.decode_order(encode_frame(frames.Generate(3, request))[4:])
    assert isinstance(order, frames.Generate)
    assert order.request.tools[0].parameters == {
        "maximum": 1e30,
        "minimum": -sys.float_info.max,
        "default": 2**64 - 1,
        "x": [True, 2.0**64],
    }
    assert order.request.messages == request.messages


def test_halves_of_characters_are_joined_or_replaced() -> None:
    assert portable({"\ud83d": ["\ud83d\ude42 é", b"\xff"]}) == {"\ufffd": ["🙂 é", b"\xff"]}


def test_an_answer_that_cannot_be_written_fails_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    outbox = Outbox(writing, on_broken=lambda: None)
    for stream, text in enumerate(["\ud800", "fine"]):
        outbox.open_stream(stream, 1000).put(TextDelta(text), is_last=True)
    outbox.close(5.0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reports = [frames.decode_report(frame) for frame in FrameDecoder().feed(pipe.read())]
    assert {report.stream: type(report.events[0]) for report in reports} == {0: Failed, 1: TextDelta}
    assert "cannot be written" in caplog.text
