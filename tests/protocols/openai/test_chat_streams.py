"""Whatever a service sends, streamed chunks add up to the whole chat completion and to what the events say."""

from __future__ import annotations

import json
import random
from typing import Any

from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from jackfield.service.events import Event
from jackfield.testing.event_streams import Heard, frames_of, heard_in, random_stream
from jackfield_protocols.openai.frames import ChatAnswer, ChatChunks


def accumulated(data: bytes) -> dict[str, Any]:
    state: Any = ChatCompletionStreamState()
    for frame in data.decode().split("\n\n"):
        if frame.startswith("data: {"):
            state.handle_chunk(ChatCompletionChunk.model_validate_json(frame.removeprefix("data: ")))
    return state.current_completion_snapshot.model_dump(warnings=False)["choices"][0]


def whole(events: list[Event]) -> dict[str, Any]:
    answer = ChatAnswer("m", num_choices=1, fingerprint="fp")
    for event in events:
        answer.take(event)
    return answer.body()["choices"][0]


def heard_from(message: dict[str, Any]) -> Heard:
    calls = [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or []
    ]
    return Heard(message.get("content") or "", message.get("reasoning_content") or "", calls)


def test_streamed_and_whole_answers_say_what_the_events_say() -> None:
    draw = random.Random(5)
    for _ in range(150):
        events = random_stream(draw)
        said = heard_in(events)
        chunks = ChatChunks("m", num_choices=1, include_usage=False, fingerprint="fp")
        streamed = accumulated(frames_of(chunks, events))
        assert heard_from(streamed["message"]) == heard_from(whole(events)["message"]) == said
        assert streamed["finish_reason"] == whole(events)["finish_reason"]
