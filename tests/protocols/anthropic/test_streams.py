"""Whatever a service sends, Anthropic's own accumulation puts the same message together again."""

from __future__ import annotations

import random
from typing import Any

from anthropic._streaming import SSEDecoder
from anthropic.lib.streaming._messages import accumulate_event

from jackfield.service.events import Event
from jackfield.testing.event_streams import Heard, frames_of, heard_in, random_stream
from jackfield_protocols.anthropic.frames import MessageAnswer, MessageEvents


def accumulated(data: bytes) -> Any:
    snapshot, buffers = None, dict[int, bytes]()
    for sse in SSEDecoder().iter_bytes(iter([data])):
        if sse.event != "ping":
            snapshot = accumulate_event(event=sse.json(), current_snapshot=snapshot, json_bufs=buffers)
    return snapshot


def heard_from(blocks: list[dict[str, Any]]) -> Heard:
    return Heard(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        thinking="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        calls=[(b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"],
    )


def whole(events: list[Event]) -> dict[str, Any]:
    answer = MessageAnswer("m")
    for event in events:
        answer.take(event)
    return answer.body()


def test_streamed_and_whole_messages_say_what_the_events_say() -> None:
    draw = random.Random(5)
    for _ in range(300):
        events = random_stream(draw)
        said = heard_in(events)
        streamed = accumulated(frames_of(MessageEvents(), events)).to_dict()
        answer = whole(events)
        assert heard_from(streamed["content"]) == heard_from(answer["content"]) == said
        for name in ("stop_reason", "stop_sequence", "usage", "model"):
            assert streamed[name] == answer[name]
        assert [block["type"] for block in streamed["content"]] == [
            block["type"] for block in answer["content"]
        ]
