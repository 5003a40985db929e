"""The unmodified ``openai`` package against ``/v1/responses``."""

from __future__ import annotations

import openai
import pytest
from pydantic import BaseModel

from jackfield.errors import ContextOverflow, QueueFull
from jackfield.server import ServerSettings, build_app
from jackfield.service.events import (
    Admitted,
    Finished,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    ToolCallDone,
    Usage,
)
from jackfield.testing.live import LiveServer
from jackfield.testing.service import FakeService

MODEL = "echo-tiny.gguf"
TIMINGS = Timings(10, 1, 0, 4, 5)
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tell the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
SCRIPT = [
    QueuePlace(1, 1),
    Admitted(MODEL, 9, 4, 100),
    ThinkingDelta("look it"),
    ThinkingDelta(" up"),
    TextDelta("Let me"),
    TextDelta(" see."),
    ToolCallDelta(0, "call_a", "get_weather"),
    ToolCallDelta(0, arguments='{"city":'),
    ToolCallDelta(0, arguments='"Paris"}'),
    ToolCallDone(0, "call_a", "get_weather", {"city": "Paris"}),
    Finished("tool_calls", Usage(9, 4, 7, 2), TIMINGS),
]


def test_whole_response_has_text_usage_and_status(connect):
    response = connect(FakeService()).responses.create(model=MODEL, input="hello big world")
    assert response.output_text == "hello big world"
    assert (response.object, response.status, response.model) == ("response", "completed", MODEL)
    assert response.usage.output_tokens == 3
    assert response.usage.input_tokens_details.cached_tokens == 0
    assert response.id.startswith("resp_")
    assert response.completed_at >= response.created_at
    assert (response.error, response.incomplete_details) == (None, None)


def test_limit_is_reported_as_incomplete(connect):
    client = connect(FakeService())
    response = client.responses.create(model=MODEL, input="hello big world", max_output_tokens=2)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.output[0].status == "incomplete"
    stream = client.responses.create(model=MODEL, input="hello big world", max_output_tokens=2, stream=True)
    assert list(stream)[-1].type == "response.incomplete"


def check_items(response: openai.types.responses.Response) -> None:
    thought, message, call = response.output
    assert thought.content[0].text == "look it up"
    assert message.content[0].text == "Let me see."
    assert (call.call_id, call.name, call.arguments) == ("call_a", "get_weather", '{"city":"Paris"}')
    assert [item.status for item in response.output] == ["completed"] * 3
    assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert response.usage.input_tokens_details.cached_tokens == 4


def test_items_come_in_the_order_they_were_made(connect):
    client = connect(FakeService(script=SCRIPT))
    check_items(client.responses.create(model=MODEL, input="Weather?", tools=[WEATHER]))
    with client.responses.stream(model=MODEL, input="Weather?", tools=[WEATHER]) as stream:
        check_items(stream.get_final_response())


def test_stream_events_are_whole_named_and_numbered(connect):
    client = connect(FakeService(script=SCRIPT))
    events = list(client.responses.create(model=MODEL, input="Weather?", tools=[WEATHER], stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    names = [event.type.removeprefix("response.") for event in events]
    assert [name for name in names if not name.endswith("delta")] == [
        *("created", "queued", "in_progress") * bool(names[1] == "queued"),
        *("created", "in_progress") * bool(names[1] != "queued"),
        "output_item.added", "content_part.added", "reasoning_text.done", "content_part.done",
        "output_item.done",
        "output_item.added", "content_part.added", "output_text.done", "content_part.done",
        "output_item.done",
        "output_item.added", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    done = [event for event in events if event.type == "response.output_text.done"]
    assert done[0].text == "Let me see."
    assert done[0].output_index == 1


def test_a_thought_may_be_shown_as_a_summary(connect):
    client = connect(FakeService(script=SCRIPT))
    asked = {"model": MODEL, "input": "Weather?", "reasoning": {"effort": "low", "summary": "auto"}}
    response = client.responses.create(**asked)
    assert response.output[0].summary[0].text == "look it up"
    with client.responses.stream(**asked) as stream:
        names = [event.type for event in stream]
        assert stream.get_final_response().output[0].summary[0].text == "look it up"
    assert names.count("response.reasoning_summary_text.delta") == 2
    assert "response.reasoning_summary_part.added" in names


def test_the_tool_loop_sends_calls_and_results_back(connect):
    service = FakeService()
    history = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}],
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {
            "type": "function_call",
            "call_id": "call_a",
            "name": "get_weather",
            "arguments": '{"city": "Paris"}',
        },
        {"type": "function_call_output", "call_id": "call_a", "output": "18 degrees"},
    ]
    response = connect(service).responses.create(
        model=MODEL, input=history, tools=[WEATHER], instructions="be brief", tool_choice="auto"
    )
    assert response.output_text == "18 degrees"
    system, user, answer, result = service.requests[0].messages
    assert (system.role, system.content, user.content) == ("system", "be brief", "Weather?")
    assert (answer.content, answer.thinking) == ("Let me see.", "hm")
    assert answer.tool_calls[0].arguments == {"city": "Paris"}
    assert (result.role, result.tool_call_id, result.name) == ("tool", "call_a", "get_weather")
    assert service.requests[0].tools[0].name == "get_weather"


def test_a_response_is_gone_on_with_by_its_id(connect):
    service = FakeService()
    client = connect(service)
    first = client.responses.create(model=MODEL, input="My name is Ada.", instructions="be brief")
    second = client.responses.create(model=MODEL, input="And now?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    told = [(message.role, message.content) for message in service.requests[1].messages]
    assert told == [("user", "My name is Ada."), ("assistant", "My name is Ada."), ("user", "And now?")]
    with client.responses.stream(model=MODEL, input="Third", previous_response_id=second.id) as stream:
        third = stream.get_final_response()
    assert len(service.requests[2].messages) == 5
    assert client.responses.retrieve(third.id).output_text == "Third"
    [item] = client.responses.input_items.list(third.id).data
    assert item.content[0].text == "Third"


def test_an_item_may_be_sent_by_reference(connect):
    service = FakeService()
    client = connect(service)
    first = client.responses.create(model=MODEL, input="one two")
    reference = {"type": "item_reference", "id": first.output[0].id}
    client.responses.create(model=MODEL, input=[reference, {"role": "user", "content": "more"}])
    assert [message.content for message in service.requests[1].messages] == ["one two", "more"]
    with pytest.raises(openai.BadRequestError, match="not stored"):
        client.responses.create(model=MODEL, input=[{"type": "item_reference", "id": "msg_x"}])


def test_what_is_not_kept_or_was_deleted_is_gone(connect):
    client = connect(FakeService())
    unkept = client.responses.create(model=MODEL, input="a", store=False)
    kept = client.responses.create(model=MODEL, input="a")
    client.responses.delete(kept.id)
    for response in (unkept, kept):
        with pytest.raises(openai.NotFoundError) as missing:
            client.responses.retrieve(response.id)
        assert missing.value.code == "response_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input="b", previous_response_id=kept.id)
    assert refused.value.code == "previous_response_not_found"


def test_a_response_belongs_to_its_key(host):
    app = build_app(ServerSettings(port=0, api_keys=("one", "two")), FakeService(), host)
    with (
        LiveServer(app) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="one", max_retries=0) as client,
    ):
        mine = client.responses.create(model=MODEL, input="secret")
        stranger = client.with_options(api_key="two")
        with pytest.raises(openai.NotFoundError):
            stranger.responses.retrieve(mine.id)
        with pytest.raises(openai.NotFoundError):
            stranger.responses.delete(mine.id)
        with pytest.raises(openai.BadRequestError):
            stranger.responses.create(model=MODEL, input="go on", previous_response_id=mine.id)
        assert client.responses.retrieve(mine.id).output_text == "secret"


class Place(BaseModel):
    city: str


def test_an_answer_is_parsed_into_the_clients_class(connect):
    script = [
        Admitted(MODEL, 3, 0, 9),
        TextDelta('{"city": "Paris"}'),
        Finished("stop", Usage(3, 0, 1), TIMINGS),
    ]
    service = FakeService(script=script)
    response = connect(service).responses.parse(model=MODEL, input="Where?", text_format=Place)
    assert response.output_parsed == Place(city="Paris")
    constraint = service.requests[0].constraint
    assert (constraint.kind, constraint.name) == ("schema", "Place")


def test_fields_are_translated(connect):
    service = FakeService()
    client = connect(service)
    client.responses.create(
        model=MODEL,
        input="hi",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=7,
        truncation="auto",
        reasoning={"effort": "high"},
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "get_weather"},
        parallel_tool_calls=False,
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        metadata={"a": "b"},
        extra_body={"top_k": 4},
    )
    asked = service.requests[0]
    assert (asked.sampling.temperature, asked.sampling.top_p, asked.sampling.top_k) == (0.5, 0.9, 4)
    assert (asked.sampling.max_tokens, asked.sampling.top_logprobs) == (7, 2)
    assert (asked.truncate, asked.think) == (True, "high")
    choice = asked.tool_choice
    assert (choice.mode, choice.name, choice.parallel) == ("required", "get_weather", False)
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "get_weather"}],
    }
    other = {**WEATHER, "name": "other"}
    client.responses.create(model=MODEL, input="hi", tools=[WEATHER, other], tool_choice=allowed)
    assert [tool.name for tool in service.requests[1].tools] == ["get_weather"]
    assert service.requests[1].tool_choice.mode == "required"


def test_logprobs_reach_the_client(connect):
    top = [(5, "hi", [104, 105], -0.5), (6, "ho", [104, 111], -1.5)]
    token = TokenLogprob(5, "hi", [104, 105], -0.5, top)
    script = [
        Admitted(MODEL, 3, 0, 9),
        TextDelta("hi", logprobs=[token]),
        Finished("stop", Usage(3, 0, 1), TIMINGS),
    ]
    response = connect(FakeService(script=script)).responses.create(model=MODEL, input="x", top_logprobs=2)
    entry = response.output[0].content[0].logprobs[0]
    assert (entry.token, entry.logprob, [other.token for other in entry.top_logprobs]) == (
        "hi",
        -0.5,
        ["hi", "ho"],
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": [{"type": "web_search"}]}, "runs no tools of its own"),
        ({"background": True}, "background is not supported"),
        ({"conversation": "conv_1"}, "previous_response_id"),
        ({"truncation": "middle"}, "truncation is 'middle'"),
        ({"reasoning": {"effort": "enormous"}}, "enormous"),
        ({"max_output_tokens": 0}, "max_output_tokens is 0"),
        ({"input": []}, "input is empty"),
        ({"input": [{"type": "computer_call"}]}, "computer_call"),
        ({"input": [{"role": "robot", "content": "x"}]}, "robot"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "arguments must be a string"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "not among tools"),
        ({"tool_choice": "perhaps"}, "perhaps"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
        ({"metadata": {"a": 1}}, "metadata"),
    ],
)
def test_a_wrong_field_has_its_message(connect, fields, words):
    with pytest.raises(openai.BadRequestError, match=words):
        connect(FakeService()).responses.create(model=MODEL, input="x", extra_body=fields)


def test_refusals_have_their_statuses(connect):
    with pytest.raises(openai.NotFoundError) as missing:
        connect(FakeService()).responses.create(model="other", input="x", stream=True)
    assert missing.value.code == "model_not_found"
    overflow = ContextOverflow("too long", numbers={"n_prompt": 9, "n_ctx": 4})
    with pytest.raises(openai.BadRequestError) as error:
        connect(FakeService(script=[overflow])).responses.create(model=MODEL, input="x")
    assert error.value.code == "context_length_exceeded"


def test_failure_in_mid_stream_is_told(connect):
    script = [Admitted(MODEL, 3, 0, 9), TextDelta("hal"), QueueFull("the engine died")]
    client = connect(FakeService(script=script))
    events = list(client.responses.create(model=MODEL, input="x", stream=True))
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2].message == events[-1].response.error.message == "the engine died"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(events[-1].response.id)
