"""Tool calls on their way from the model's text to events, read by a real chat format."""

from __future__ import annotations

from typing import Any

from jackfield.service.events import Event, TextDelta, ToolCallDelta, ToolCallDone
from jackfield.service.requests import Message, ToolCall, ToolChoice, ToolDefinition
from jackfield.testing.stage import Stage, ending_of, make_request, saying, text_of
from jackfield_plugins.formats.hermes import HermesFormat

WEATHER = ToolDefinition("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})
PARIS = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
ROME = PARIS.replace("Paris", "Rome")


def ask(text: str, **fields: Any) -> list[Event]:
    request = make_request(**{"user": "Weather?", "tools": [WEATHER], "max_tokens": None, **fields})
    [events] = Stage(saying(text), chat_format=HermesFormat()).ask(request)
    return events


def calls_of(events: list[Event]) -> list[ToolCallDone]:
    return [event for event in events if isinstance(event, ToolCallDone)]


def test_call_streams_its_name_then_arguments_and_ends_the_turn() -> None:
    events = ask("Let me look.\n" + PARIS)
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    [call] = calls_of(events)
    assert text_of(events).strip() == "Let me look."
    assert (deltas[0].name, deltas[0].id) == ("weather", call.id)
    assert "".join(delta.arguments for delta in deltas).replace(" ", "") == '{"city":"Paris"}'
    assert call.arguments == {"city": "Paris"}
    assert ending_of(events).reason == "tool_calls"


def test_calls_in_parallel_have_their_own_index_and_id() -> None:
    first, second = calls_of(ask(PARIS + "\n" + ROME))
    assert (first.index, second.index) == (0, 1)
    assert first.id != second.id
    assert second.arguments == {"city": "Rome"}


def test_one_call_at_most_when_only_one_is_wanted() -> None:
    events = ask(PARIS + "\n" + ROME, tool_choice=ToolChoice(parallel=False))
    assert len(calls_of(events)) == 1
    assert ending_of(events).reason == "tool_calls"


def test_without_tools_the_syntax_is_text() -> None:
    for events in (ask(PARIS, tools=[]), ask(PARIS, tool_choice=ToolChoice("none"))):
        assert PARIS in text_of(events)
        assert ending_of(events).reason == "stop"


def test_call_cut_by_the_limit_ends_as_length() -> None:
    events = ask(PARIS, max_tokens=40)
    assert ending_of(events).reason == "length"


def test_malformed_call_is_text_and_no_error() -> None:
    events = ask("<tool_call>\nno JSON\n</tool_call>")
    assert "no JSON" in text_of(events)
    assert not calls_of(events)


def test_stop_string_in_arguments_does_not_cut_the_call() -> None:
    events = ask(PARIS, stop=["Paris"])
    assert calls_of(events)[0].arguments == {"city": "Paris"}


def test_result_follows_the_very_tokens_of_the_call() -> None:
    stage = Stage(saying("Hm.\n" + PARIS), chat_format=HermesFormat(), context=2000)
    question = Message("user", "Weather?")
    request = make_request(messages=[question], tools=[WEATHER], max_tokens=None)

    [events] = stage.ask(request)
    call = calls_of(events)[0]
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    answer = Message("assistant", said, tool_calls=[ToolCall(call.name, '{"city":"Paris"}', call.id)])
    result = Message("tool", "rainy", tool_call_id=call.id)
    # histories live with the loaded model, so both turns are asked of one service
    follow_up = make_request(messages=[question, answer, result], tools=[WEATHER], max_tokens=None)
    stage.ask(request, follow_up)
    first, second = stage.engine.requests[-2:]
    assert list(second.prompt[: len(first.prompt)]) == list(first.prompt)
    assert PARIS.encode() in bytes(token for token in second.prompt if token < 256)
