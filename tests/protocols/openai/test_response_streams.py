"""Whatever a service sends, the SDK's own accumulation puts the same response together; the store is bounded."""

from __future__ import annotations

import json
import random
from typing import Any, cast

import pytest
from openai._models import construct_type_unchecked
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from jackfield.errors import NotFound
from jackfield.service.requests import Message
from jackfield.testing.event_streams import Heard, frames_of, heard_in, random_stream
from jackfield_protocols.openai.responses.bodies import ResponsesBody
from jackfield_protocols.openai.responses.draft import ResponseDraft
from jackfield_protocols.openai.responses.frames import ResponseEvents
from jackfield_protocols.openai.responses.store import ResponseStore

GROWING = ("response.output_text.delta", "response.function_call_arguments.delta")


def accumulated(data: bytes) -> dict[int, str]:
    """Return what the SDK has put together for each output item that grew."""
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    texts: dict[int, str] = {}
    for frame in data.decode().split("\n\n")[:-1]:
        name, value = (line.partition(": ")[2] for line in frame.split("\n"))
        decoded = json.loads(value)
        assert decoded["type"] == name
        event: Any = construct_type_unchecked(value=decoded, type_=cast("Any", ResponseStreamEvent))
        for handled in state.handle_event(event):
            if handled.type in GROWING:
                texts[handled.output_index] = handled.snapshot
    return texts


def text_in(item: dict[str, Any]) -> str:
    return item["content"][0]["text"] if item["type"] == "message" else item["arguments"]


def heard_from(items: list[dict[str, Any]]) -> Heard:
    texts = [part["text"] for item in items if item["type"] == "message" for part in item["content"]]
    thoughts = [part["text"] for item in items if item["type"] == "reasoning" for part in item["content"]]
    calls = [
        (item["call_id"], item["name"], json.loads(item["arguments"]))
        for item in items
        if item["type"] == "function_call"
    ]
    return Heard("".join(texts), "".join(thoughts), calls)


def test_streamed_and_whole_responses_say_what_the_events_say() -> None:
    draw = random.Random(5)
    for _ in range(150):
        events = random_stream(draw)
        said = heard_in(events)
        draft = ResponseDraft(ResponsesBody(model="m"))
        streamed = accumulated(frames_of(ResponseEvents(draft), events))
        whole = ResponseDraft(ResponsesBody(model="m"))
        for event in events:
            for _ in whole.take(event):
                continue
        assert heard_from(whole.response["output"]) == heard_from(draft.response["output"]) == said
        for index, item in enumerate(draft.response["output"]):
            assert item["type"] == "reasoning" or text_in(item) == streamed.get(index, "")
        turn = draft.as_message()
        assert (turn.content, turn.thinking or "") == (said.text, said.thinking)


def test_store_forgets_the_least_recently_used_first() -> None:
    store = ResponseStore(max_responses=2)
    for name in ("a", "b"):
        store.keep("me", {"id": name, "output": []}, [], [Message("user", name)])
    store.get("a", "me")
    store.keep("me", {"id": "c", "output": []}, [], [])
    assert store.conversation_before("a", "me") == [Message("user", "a")]
    with pytest.raises(NotFound):
        store.get("b", "me")


def test_store_is_bounded_in_bytes_and_deleting_gives_them_back() -> None:
    store = ResponseStore(max_bytes=10_000)
    for index in range(20):
        store.keep("me", {"id": str(index), "output": []}, [], [Message("user", "x" * 1000)])
    assert 5 < len(store) < 10
    store.delete("19", "me")
    before = len(store)
    store.keep("me", {"id": "new", "output": []}, [], [Message("user", "x" * 1000)])
    assert len(store) == before + 1
    store.keep("me", {"id": "huge", "output": []}, [], [Message("user", "x" * 20_000)])
    assert len(store) == before + 1
