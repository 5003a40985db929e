"""The unmodified ``openai`` package against the protocol."""

from __future__ import annotations

import openai
import pytest

from jackfield.errors import ContextOverflow, QueueFull
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
from jackfield.testing.service import FakeService

MODEL = "echo-tiny.gguf"
TIMINGS = Timings(10, 1, 0, 4, 5)
HELLO = [{"role": "user", "content": "hello big world"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def test_whole_answer_has_text_usage_and_reason(connect):
    answer = connect(FakeService()).chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == "hello big world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert len(answer.id) == 30
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 3
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer._request_id


def test_stream_joins_to_the_same_text_under_one_id(connect):
    client = connect(FakeService())
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello big world"
    assert len({chunk.id for chunk in chunks}) == 1
    assert len({chunk.created for chunk in chunks}) == 1
    assert [c.choices[0].delta.role for c in chunks if c.choices[0].delta.role] == ["assistant"]
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].usage.completion_tokens == 3


def test_include_usage_adds_one_last_chunk_without_choices(connect):
    client = connect(FakeService())
    stream = client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 3
    assert all(chunk.usage is None and chunk.choices for chunk in chunks[:-1])


def test_limit_is_reported_as_length(connect):
    answer = connect(FakeService()).chat.completions.create(model=MODEL, messages=HELLO, max_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == "hello big"


def test_choices_share_the_prompt(connect):
    answer = connect(FakeService()).chat.completions.create(model=MODEL, messages=HELLO, n=3)
    assert [choice.message.content for choice in answer.choices] == ["hello big world"] * 3
    assert answer.usage.completion_tokens == 9


def test_thinking_is_kept_apart(connect):
    client = connect(FakeService())
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, reasoning_effort="high")
    assert answer.choices[0].message.content == "hello big world"
    assert answer.choices[0].message.reasoning_content == "hm"
    assert answer.usage.completion_tokens_details.reasoning_tokens == 1
    chunks = list(
        client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, extra_body={"think": True})
    )
    assert "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks) == "hm"


CALL_SCRIPT = [
    Admitted(MODEL, 9, 4, 100),
    ThinkingDelta("look it up"),
    ToolCallDelta(0, "call_abc", "get_weather"),
    ToolCallDelta(0, arguments='{"city":'),
    ToolCallDelta(0, arguments='"Paris"}'),
    ToolCallDone(0, "call_abc", "get_weather", {"city": "Paris"}),
    Finished("tool_calls", Usage(9, 4, 7), TIMINGS),
]


def test_whole_tool_call_has_json_text_arguments_and_null_content(connect):
    client = connect(FakeService(script=CALL_SCRIPT))
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, tools=[WEATHER])
    message = answer.choices[0].message
    assert message.content is None
    assert message.tool_calls[0].function.arguments == '{"city":"Paris"}'
    assert message.tool_calls[0].id == "call_abc"
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage.prompt_tokens_details.cached_tokens == 4


def test_streamed_tool_call_names_itself_once(connect):
    client = connect(FakeService(script=CALL_SCRIPT))
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, tools=[WEATHER], stream=True))
    pieces = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert [piece.function.name for piece in pieces] == ["get_weather", None, None]
    assert "".join(piece.function.arguments for piece in pieces) == '{"city":"Paris"}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_tool_loop_sends_calls_and_results_back(connect):
    service = FakeService()
    history = [
        *HELLO,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_abc",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_abc", "content": "18 degrees"},
    ]
    answer = connect(service).chat.completions.create(model=MODEL, messages=history, tools=[WEATHER])
    assert answer.choices[0].message.content == "18 degrees"
    call = service.requests[0].messages[1].tool_calls[0]
    assert (call.name, call.arguments, call.id) == ("get_weather", {"city": "Paris"}, "call_abc")
    assert service.requests[0].messages[2].tool_call_id == "call_abc"
    assert service.requests[0].tools[0].parameters["properties"] == {"city": {"type": "string"}}


def test_logprobs_reach_the_client(connect):
    token = TokenLogprob(
        5, "hi", [104, 105], -0.5, [(5, "hi", [104, 105], -0.5), (6, "ho", [104, 111], -1.5)]
    )
    script = [
        Admitted(MODEL, 3, 0, 9),
        TextDelta("hi", logprobs=[token]),
        Finished("stop", Usage(3, 0, 1), TIMINGS),
    ]
    service = FakeService(script=script)
    answer = connect(service).chat.completions.create(
        model=MODEL, messages=HELLO, logprobs=True, top_logprobs=2
    )
    entry = answer.choices[0].logprobs.content[0]
    assert (entry.token, entry.logprob, [top.token for top in entry.top_logprobs]) == (
        "hi",
        -0.5,
        ["hi", "ho"],
    )
    assert service.requests[0].sampling.top_logprobs == 2


def test_sampling_fields_are_translated(connect):
    service = FakeService()
    connect(service).chat.completions.create(
        model=MODEL,
        messages=HELLO,
        max_completion_tokens=7,
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        seed=3,
        stop=["a", "b"],
        logit_bias={"5": -100},
        extra_body={"top_k": 4, "min_p": 0.1, "repetition_penalty": 1.2},
    )
    sampling = service.requests[0].sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (7, 0.5, 0.9)
    assert (sampling.seed, sampling.stop, sampling.logit_bias) == (3, ["a", "b"], {5: -100.0})
    assert (sampling.top_k, sampling.min_p, sampling.repeat_penalty) == (4, 0.1, 1.2)


def test_models_are_listed_and_found(connect):
    client = connect(FakeService())
    assert [model.id for model in client.models.list()] == ["echo-tiny"]
    assert client.models.retrieve("echo-tiny").created > 0
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")


def test_completions_take_several_prompts(connect):
    client = connect(FakeService())
    answer = client.completions.create(model=MODEL, prompt=["one two", "three"], max_tokens=5)
    assert [choice.text for choice in answer.choices] == ["one two", "three"]
    assert answer.usage.completion_tokens == 3
    stream = client.completions.create(model=MODEL, prompt="one two", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "one two"


@pytest.mark.parametrize(
    ("fields", "kind", "value"),
    [
        ({"response_format": {"type": "json_object"}}, "json", None),
        ({"guided_choice": ["yes", "no"]}, "choice", ["yes", "no"]),
        ({"structured_outputs": {"regex": "[a-z]+"}}, "regex", "[a-z]+"),
        ({"grammar": 'root ::= "a"'}, "gbnf", 'root ::= "a"'),
    ],
)
def test_completions_may_have_a_form(connect, fields, kind, value):
    service = FakeService()
    connect(service).completions.create(model=MODEL, prompt=["one", "two"], extra_body=fields)
    constraints = [request.constraint for request in service.requests]
    assert [(made.kind, made.value) for made in constraints] == [(kind, value)] * 2


def test_refusals_raise_the_sdks_own_classes(connect):
    client = connect(FakeService())
    with pytest.raises(openai.NotFoundError, match="not found") as missing:
        client.chat.completions.create(model="other", messages=HELLO, stream=True)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="temperature") as wrong:
        client.chat.completions.create(model=MODEL, messages=HELLO, extra_body={"temperature": "hot"})
    assert wrong.value.param == "temperature"


def test_overflow_and_full_queue_have_their_statuses(connect):
    overflow = ContextOverflow("too long", numbers={"n_prompt": 9, "n_ctx": 4})
    with pytest.raises(openai.BadRequestError) as error:
        connect(FakeService(script=[overflow])).chat.completions.create(model=MODEL, messages=HELLO)
    assert error.value.code == "context_length_exceeded"
    assert error.value.body["n_ctx"] == 4
    with pytest.raises(openai.InternalServerError) as full:
        connect(FakeService(script=[QueueFull("full")])).chat.completions.create(model=MODEL, messages=HELLO)
    assert full.value.status_code == 503
    assert 1 <= int(full.value.response.headers["retry-after"]) <= 60


def test_failure_in_mid_stream_raises_and_is_the_last_frame(connect):
    script = [Admitted(MODEL, 3, 0, 9), TextDelta("hal"), QueueFull("the engine died")]
    client = connect(FakeService(script=script))
    stream = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="the engine died"):
        list(stream)


def test_queue_frames_do_not_disturb_the_sdk(connect):
    script = [
        QueuePlace(2, 2),
        0.4,
        QueuePlace(1, 1),
        Admitted(MODEL, 3, 0, 9),
        TextDelta("hi"),
        Finished("stop", Usage(3, 0, 1), TIMINGS),
    ]
    client = connect(FakeService(script=script))
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert chunks[0].queue_position == 2
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hi"
