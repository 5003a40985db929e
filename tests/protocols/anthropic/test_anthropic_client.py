"""The unmodified ``anthropic`` package against the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import anthropic
import pytest

from jackfield.errors import ContextOverflow, QueueFull, RateLimited
from jackfield.service.events import (
    Admitted,
    Finished,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    Timings,
    ToolCallDelta,
    ToolCallDone,
    Usage,
)
from jackfield.testing.service import FakeService, make_model

MODEL = "echo-tiny.gguf"
TIMINGS = Timings(10, 1, 0, 4, 5)
HELLO = [{"role": "user", "content": "hello big world"}]
WEATHER = {
    "name": "get_weather",
    "description": "Tell the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
THINKER = make_model(capabilities=("completion", "tools", "thinking"))


@pytest.fixture
def connect(serve: Callable[[FakeService], str]) -> Iterator[Callable[[FakeService], anthropic.Anthropic]]:
    with ExitStack() as clients:

        def client_of(service: FakeService) -> anthropic.Anthropic:
            client = anthropic.Anthropic(base_url=serve(service), api_key="not-needed", max_retries=0)
            return clients.enter_context(client)

        yield client_of


def ask(client: anthropic.Anthropic, **fields):
    return client.messages.create(**{"model": MODEL, "max_tokens": 50, "messages": HELLO, **fields})


def test_whole_message_has_text_usage_and_reason(connect):
    message = ask(connect(FakeService()))
    [block] = message.content
    assert (block.type, block.text) == ("text", "hello big world")
    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.usage.output_tokens == 3
    assert message.id.startswith("msg_")
    assert message._request_id


def test_stream_accumulates_to_the_same_message(connect):
    client = connect(FakeService())
    with client.messages.stream(model=MODEL, max_tokens=50, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == message.content[0].text == "hello big world"
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 3


SCRIPT = [
    QueuePlace(1, 1),
    Admitted(MODEL, 9, 4, 100),
    ThinkingDelta("look it"),
    ThinkingDelta(" up"),
    TextDelta("Let me see."),
    ToolCallDelta(0, "call_a", "get_weather"),
    ToolCallDelta(0, arguments='{"city":'),
    ToolCallDelta(0, arguments='"Paris"}'),
    ToolCallDone(0, "call_a", "get_weather", {"city": "Paris"}),
    ToolCallDelta(1, "call_b", "get_weather"),
    ToolCallDelta(1, arguments="{}"),
    ToolCallDone(1, "call_b", "get_weather", {}),
    Finished("tool_calls", Usage(9, 4, 7, 2), TIMINGS),
]


def check_blocks(message: anthropic.types.Message) -> None:
    thought, text, first, second = message.content
    assert thought.thinking == "look it up"
    assert len(thought.signature) > 20
    assert text.text == "Let me see."
    assert (first.id, first.name, first.input) == ("call_a", "get_weather", {"city": "Paris"})
    assert (second.id, second.input) == ("call_b", {})
    assert message.stop_reason == "tool_use"
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (5, 4, 7)


def test_blocks_come_in_the_order_they_were_made(connect):
    client = connect(FakeService(script=SCRIPT))
    check_blocks(ask(client, tools=[WEATHER]))
    with client.messages.stream(model=MODEL, max_tokens=50, messages=HELLO, tools=[WEATHER]) as stream:
        check_blocks(stream.get_final_message())


def test_stream_events_come_in_anthropics_order(connect):
    stream = ask(connect(FakeService(script=SCRIPT)), stream=True)
    kinds = [(event.type, getattr(event, "index", None)) for event in stream]
    assert kinds[0] == ("message_start", None)
    assert kinds[-2:] == [("message_delta", None), ("message_stop", None)]
    starts = [index for kind, index in kinds if kind == "content_block_start"]
    stops = [index for kind, index in kinds if kind == "content_block_stop"]
    assert starts == stops == [0, 1, 2, 3]


def test_the_tool_loop_sends_calls_and_results_back(connect):
    service = FakeService()
    history = [
        *HELLO,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "…"},
                {"type": "text", "text": "Let me "},
                {"type": "text", "text": "see."},
                {"type": "tool_use", "id": "call_a", "name": "get_weather", "input": {"city": "Paris"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_a", "content": [{"type": "text", "text": "18"}]},
                {"type": "tool_result", "tool_use_id": "call_x", "content": "no", "is_error": True},
                {"type": "text", "text": "and now?"},
            ],
        },
    ]
    system = [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]
    message = ask(connect(service), messages=history, tools=[WEATHER], system=system)
    assert message.content[0].text == "and now?"
    asked = service.requests[0]
    assert [m.role for m in asked.messages] == ["system", "user", "assistant", "tool", "tool", "user"]
    answer, result, failure = asked.messages[2:5]
    assert (answer.content, answer.thinking) == ("Let me see.", "hm")
    assert answer.tool_calls[0].arguments == {"city": "Paris"}
    assert (result.content, result.tool_call_id, result.name) == ("18", "call_a", "get_weather")
    assert failure.content == "Error: no"
    assert asked.tools[0].parameters == WEATHER["input_schema"]


def test_fields_are_translated(connect):
    service = FakeService(THINKER)
    client = connect(service)
    ask(
        client,
        extra_body={"temperature": 0.5, "top_p": 0.9, "top_k": 4},
        stop_sequences=["END"],
        thinking={"type": "enabled", "budget_tokens": 1024},
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        metadata={"user_id": "someone"},
    )
    asked = service.requests[0]
    assert (asked.sampling.temperature, asked.sampling.top_p, asked.sampling.top_k) == (0.5, 0.9, 4)
    assert (asked.sampling.max_tokens, asked.sampling.stop) == (50, ["END"])
    assert (asked.think, asked.thinking_budget) == (True, 1024)
    choice = asked.tool_choice
    assert (choice.mode, choice.name, choice.parallel) == ("required", "get_weather", False)
    ask(client, tools=[WEATHER], tool_choice={"type": "any"}, thinking={"type": "disabled"})
    assert (service.requests[1].tool_choice.mode, service.requests[1].think) == ("required", False)
    ask(client, thinking={"type": "adaptive"}, extra_body={"output_config": {"effort": "max"}})
    assert service.requests[2].think == "high"
    ask(client)
    assert service.requests[3].think is None


def test_adaptive_thinking_is_left_off_for_a_model_without(connect):
    service = FakeService()
    ask(connect(service), thinking={"type": "adaptive"})
    assert service.requests[0].think is None


def test_an_answer_that_was_begun_is_gone_on_with(connect):
    service = FakeService()
    ask(connect(service), messages=[*HELLO, {"role": "assistant", "content": "The answer is ("}])
    assert service.requests[0].continue_final_message


def test_structured_output_becomes_a_schema(connect):
    service = FakeService()
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    wanted = {"format": {"type": "json_schema", "schema": schema}}
    ask(connect(service), extra_body={"output_config": wanted})
    assert (service.requests[0].constraint.kind, service.requests[0].constraint.value) == ("schema", schema)


def test_a_stop_sequence_and_a_limit_have_their_reasons(connect):
    stopped = Finished("stop", Usage(3, 0, 1), TIMINGS, stop_text="END")
    message = ask(connect(FakeService(script=[Admitted(MODEL, 3, 0, 9), TextDelta("hi"), stopped])))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert ask(connect(FakeService()), max_tokens=2).stop_reason == "max_tokens"


def test_thinking_can_be_left_out_of_the_answer(connect):
    client = connect(FakeService(THINKER, script=SCRIPT))
    thinking = {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}
    whole = ask(client, thinking=thinking)
    assert whole.content[0].thinking == ""
    with client.messages.stream(model=MODEL, max_tokens=9, messages=HELLO, thinking=thinking) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].thinking == ""
    assert streamed.content[0].signature == whole.content[0].signature


def test_tokens_are_counted(connect):
    counted = connect(FakeService()).messages.count_tokens(model=MODEL, messages=HELLO, system="be brief")
    assert counted.input_tokens == len("system: be brief\nuser: hello big world\n")


def test_refusals_raise_the_sdks_own_classes(connect):
    client = connect(FakeService())
    with pytest.raises(anthropic.NotFoundError, match="not found") as missing:
        ask(client, model="other")
    assert missing.value.body["error"]["type"] == "not_found_error"
    assert missing.value.body["request_id"]
    with pytest.raises(anthropic.NotFoundError):
        list(ask(client, model="other", stream=True))
    for fields, words in (
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"extra_body": {"temperature": "hot"}}, "temperature"),
        ({"messages": []}, "messages is required"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "robot"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "video"),
        ({"thinking": {"type": "perhaps"}}, "perhaps"),
        ({"tool_choice": {"type": "tool", "name": "f"}}, "not among tools"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
        ({"extra_body": {"mcp_servers": [{"url": "http://x"}]}}, "mcp_servers"),
    ):
        with pytest.raises(anthropic.BadRequestError, match=words) as refused:
            ask(client, **fields)
        assert refused.value.body["error"]["type"] == "invalid_request_error"


def test_overflow_and_full_queues_have_their_statuses(connect):
    overflow = ContextOverflow("too long", numbers={"n_prompt": 9, "n_ctx": 4})
    with pytest.raises(anthropic.BadRequestError) as error:
        ask(connect(FakeService(script=[overflow])))
    assert error.value.body["error"]["n_ctx"] == 4
    for raised, status, kind in (
        (QueueFull("full"), 529, "overloaded_error"),
        (RateLimited("slow"), 429, "rate_limit_error"),
    ):
        with pytest.raises(anthropic.APIStatusError) as refused:
            ask(connect(FakeService(script=[raised])))
        assert (refused.value.status_code, refused.value.body["error"]["type"]) == (status, kind)
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60


def test_failure_in_mid_stream_raises(connect):
    script = [Admitted(MODEL, 3, 0, 9), TextDelta("hal"), QueueFull("the engine died")]
    stream = ask(connect(FakeService(script=script)), stream=True)
    with pytest.raises(anthropic.APIError, match="the engine died"):
        list(stream)


def test_an_image_arrives_and_a_url_is_not_fetched(connect):
    service = FakeService()
    client = connect(service)
    source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    ask(client, messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])
    assert service.requests[0].messages[0].images[0].data == b"hi"
    far = {"type": "url", "url": "http://example.com/a.png"}
    with pytest.raises(anthropic.BadRequestError, match="not fetched"):
        ask(client, messages=[{"role": "user", "content": [{"type": "image", "source": far}]}])


def test_the_key_may_come_as_anthropic_sends_it(host):
    from jackfield.server import ServerSettings, build_app
    from jackfield.testing.live import LiveServer

    app = build_app(ServerSettings(port=0, api_keys=("secret",)), FakeService(), host)
    with LiveServer(app) as server, anthropic.Anthropic(base_url=server.url, api_key="secret") as client:
        assert ask(client).stop_reason == "end_turn"
        stranger = client.with_options(api_key="wrong", max_retries=0)
        with pytest.raises(anthropic.AuthenticationError) as refused:
            ask(stranger)
        assert refused.value.body["error"]["type"] == "authentication_error"


def test_models_are_listed_for_anthropics_client_too(connect):
    client = connect(FakeService())
    [model] = list(client.models.list())
    assert (model.id, model.type, model.display_name) == ("echo-tiny", "model", "echo-tiny")
    assert client.models.retrieve("echo-tiny").created_at.year > 2020


def test_json_in_a_call_is_whole_whatever_the_pieces(connect):
    with connect(FakeService(script=SCRIPT)).messages.stream(
        model=MODEL, max_tokens=50, messages=HELLO
    ) as stream:
        pieces = [event.delta.partial_json for event in stream if event.type == "content_block_delta"
                  and event.delta.type == "input_json_delta" and event.index == 2]  # fmt: skip
    assert json.loads("".join(pieces)) == {"city": "Paris"}
