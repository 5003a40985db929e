"""Tool calls on their way from the model's text to events, read by a real chat format."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from jackfield.service.events import Event, TextDelta, ToolCallDelta, ToolCallDone
from jackfield.service.frames import Events, decode_report, encode_frame
from jackfield.service.requests import Message, ToolCall, ToolChoice, ToolDefinition
from jackfield.testing.stage import Stage, ending_of, error_of, make_request, saying, text_of, thinking_of
from jackfield_plugins.formats.hermes import HermesFormat

WEATHER = ToolDefinition("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})
ONE = ToolChoice(parallel=False)
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


def test_malformed_call_cannot_be_said() -> None:
    [call] = calls_of(ask("<tool_call>\nno JSON\n</tool_call>" + "~" * 200, tool_choice=ONE))
    assert call.name == "weather"
    jsonschema.validate(call.arguments, WEATHER.parameters)


def test_arguments_fit_the_schema_whatever_the_model_wants() -> None:
    strict = ToolDefinition(
        "weather",
        "",
        {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]},
    )
    for wanted in ("", "city", "Berlin", "x" * 40):
        text = f'<tool_call>\n{{"name": "weather", "arguments": {{"city": "{wanted}' + "~" * 200
        [call] = calls_of(ask(text, tools=[strict], tool_choice=ONE))
        jsonschema.validate(call.arguments, strict.parameters)


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("integer", "9" * 40, 1e40),
        ("number", f"-{'9' * 400}", -1.7976931348623157e308),
    ],
)
def test_numbers_that_no_message_can_hold_do_not_harm_the_call(kind: str, written: str, value: float) -> None:
    tool = ToolDefinition("f", "", {"type": "object", "properties": {"v": {"type": kind}}, "required": ["v"]})
    text = f'<tool_call>\n{{"name": "f", "arguments": {{"v": {written}}}}}\n</tool_call>'
    [call] = calls_of(ask(text, tools=[tool], tool_choice=ONE, max_tokens=600))
    assert call.arguments == {"v": value}
    assert decode_report(encode_frame(Events(0, [call], is_over=False))[4:]) == Events(
        0, [call], is_over=False
    )


FORCED = {"required": ToolChoice("required"), "named": ToolChoice(name="weather")}


@pytest.mark.parametrize("choice", FORCED)
def test_a_forced_call_is_made_by_a_model_that_wants_to_talk(choice: str) -> None:
    events = ask("I would rather talk about something else. " * 9, tool_choice=FORCED[choice], max_tokens=200)
    [call] = calls_of(events)[:1]
    assert (call.name, text_of(events)) == ("weather", "")
    assert ending_of(events).reason == "tool_calls"


def test_the_named_tool_is_called_and_no_other() -> None:
    clock = ToolDefinition("clock", "", {"type": "object", "properties": {}})
    events = ask(
        PARIS, tools=[WEATHER, clock], tool_choice=ToolChoice(name="clock", parallel=False), max_tokens=80
    )
    [call] = calls_of(events)
    assert (call.name, call.arguments) == ("clock", {})


def test_a_call_is_forced_behind_the_thinking() -> None:
    events = ask("Hm, " + "well, " * 60, tool_choice=ToolChoice("required"), think=True, max_tokens=150)
    assert calls_of(events)
    assert thinking_of(events).startswith("Hm, well,")
    assert ending_of(events).reason == "tool_calls"


def test_a_tool_with_a_bomb_for_a_schema_is_refused() -> None:
    bomb: dict[str, Any] = {}
    for _ in range(60):
        bomb = {"type": "object", "properties": {"x": bomb}}
    error = error_of(ask("x", tools=[ToolDefinition("f", "", bomb)])).error
    assert (error.kind, error.param) == ("RequestError", "tools")
    assert "nests deeper" in error.message


def test_what_a_schema_cannot_be_held_to_is_told() -> None:
    odd = ToolDefinition("f", "", {"type": "object", "properties": {"x": {"not": {"type": "null"}}}})
    assert "arguments of tool 'f' are not held to all of its schema" in ending_of(ask("Hi", tools=[odd])).note


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
