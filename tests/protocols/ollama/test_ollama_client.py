"""The unmodified ``ollama`` package against the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import ollama
import pytest

from jackfield.service.events import (
    Admitted,
    Finished,
    TextDelta,
    Timings,
    ToolCallDelta,
    ToolCallDone,
    Usage,
)
from jackfield.testing.service import FakeService, make_model

MODEL = "echo-tiny.gguf"
HELLO = [{"role": "user", "content": "hello big world"}]
CALL_SCRIPT = [
    Admitted(MODEL, 9, 4, 100),
    ToolCallDelta(0, "call_abc", "get_weather", '{"city":"Paris"}'),
    ToolCallDone(0, "call_abc", "get_weather", {"city": "Paris"}),
    Finished("tool_calls", Usage(9, 4, 7), Timings(100, 1, 2, 40, 50)),
]


def get_weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where
    """
    return city


@pytest.fixture
def connect(serve: Callable[[FakeService], str]) -> Iterator[Callable[[FakeService], ollama.Client]]:
    with ExitStack() as clients:
        yield lambda service: clients.enter_context(ollama.Client(serve(service)))


def test_chat_answers_whole_and_streamed(connect):
    client = connect(FakeService())
    answer = client.chat(MODEL, HELLO)
    assert (answer.message.content, answer.done, answer.done_reason) == ("hello big world", True, "stop")
    assert answer.eval_count == 3
    assert answer.total_duration > 0
    pieces = list(client.chat(MODEL, HELLO, stream=True))
    assert "".join(piece.message.content for piece in pieces) == "hello big world"
    assert [piece.done for piece in pieces] == [False, False, False, True]


def test_generate_answers_whole_and_streamed(connect):
    client = connect(FakeService())
    answer = client.generate(MODEL, "one two")
    assert (answer.response, answer.done_reason, answer.prompt_eval_count) == ("one two", "stop", 8)
    pieces = list(client.generate("echo-tiny", "one two", stream=True))
    assert "".join(piece.response for piece in pieces) == "one two"
    assert pieces[-1].done


def test_limit_is_reported_as_length(connect):
    answer = connect(FakeService()).generate(MODEL, "one two three", options={"num_predict": 2})
    assert (answer.response, answer.done_reason) == ("one two", "length")


def test_native_chat_streams_calls_before_a_plain_stop(connect):
    client = connect(FakeService(script=CALL_SCRIPT))
    pieces = list(client.chat(MODEL, HELLO, tools=[get_weather], stream=True))
    assert pieces[0].message.tool_calls[0].function.arguments == {"city": "Paris"}
    assert not pieces[0].done
    assert pieces[-1].done_reason == "stop"
    assert pieces[-1].message.tool_calls is None


def test_tools_and_results_are_translated(connect):
    service = FakeService()
    history = [
        *HELLO,
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"city": "Rome"}}}]},
        {"role": "tool", "tool_name": "f", "content": "sunny"},
    ]
    assert connect(service).chat(MODEL, history, tools=[get_weather]).message.content == "sunny"
    sent = service.requests[0]
    assert sent.messages[1].tool_calls[0].arguments == {"city": "Rome"}
    assert sent.messages[2].name == "f"
    assert sent.tools[0].name == "get_weather"


def test_thinking_is_split_off_or_refused(connect):
    service = FakeService(make_model(capabilities=("completion", "thinking")))
    answer = connect(service).chat(MODEL, HELLO, think=True)
    assert (answer.message.thinking, answer.message.content) == ("hm", "hello big world")
    with pytest.raises(ollama.ResponseError, match="does not support thinking"):
        connect(FakeService()).chat(MODEL, HELLO, think=True)


def test_models_can_be_listed_shown_and_seen_running(connect):
    client = connect(FakeService())
    listed = client.list().models[0]
    assert (listed.model, listed.details.quantization_level) == (MODEL, "Q8_0")
    assert listed.modified_at.year == 2026
    shown = client.show("echo-tiny:latest")
    assert shown.modelinfo["general.architecture"] == "qwen3"
    assert shown.modelinfo["qwen3.context_length"] == 8192
    assert "completion" in shown.capabilities
    assert client.ps().models[0].context_length == 4096


def test_embeddings_have_unit_length(connect):
    client = connect(FakeService())
    assert client.embed(MODEL, ["a", "bb"]).embeddings == [[1.0, 0.0], [0.0, 1.0]]
    assert client.embed(MODEL, []).embeddings == []
    assert client.embeddings(MODEL, "a").embedding == [1.0, 0.0]
    with pytest.raises(ollama.ResponseError, match="at most 2"):
        client.embed(MODEL, "a", dimensions=3)


def test_only_the_hosted_model_can_be_pulled_and_none_changed(connect):
    client = connect(FakeService())
    assert client.pull(MODEL).status == "success"
    assert [step.status for step in client.pull(MODEL, stream=True)] == ["success"]
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.pull("other")
    for change in (
        lambda: client.delete(MODEL),
        lambda: client.copy(MODEL, "b"),
        lambda: client.create("b", from_=MODEL),
    ):
        with pytest.raises(ollama.ResponseError) as error:
            change()
        assert error.value.status_code == 403


def test_refusals_reach_the_client_as_text_and_status(connect):
    client = connect(FakeService())
    with pytest.raises(ollama.ResponseError, match="model 'other' not found") as error:
        list(client.chat("other", HELLO, stream=True))
    assert error.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="temperature") as wrong:
        client.chat(MODEL, HELLO, options={"temperature": "hot"})
    assert wrong.value.status_code == 400


def test_failure_in_mid_stream_raises(connect):
    from jackfield.errors import Unavailable

    script = [Admitted(MODEL, 3, 0, 9), TextDelta("hal"), Unavailable("the engine died")]
    with pytest.raises(ollama.ResponseError, match="the engine died"):
        list(connect(FakeService(script=script)).generate(MODEL, "x", stream=True))


def test_an_empty_request_says_load_or_unload(connect):
    service = FakeService()
    client = connect(service)
    assert client.generate(MODEL).done_reason == "load"
    assert client.chat(MODEL, []).done_reason == "load"
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    assert service.requests == []
