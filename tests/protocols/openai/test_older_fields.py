"""Fields of the older API that clients still send: functions, best_of, echo with logprobs."""

from __future__ import annotations

import openai
import pytest

from jackfield.service.events import (
    Admitted,
    Finished,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    ToolCallDone,
    Usage,
)
from jackfield.testing.service import FakeService

MODEL = "echo-tiny.gguf"
TIMINGS = Timings(10, 1, 0, 4, 5)
HELLO = [{"role": "user", "content": "Weather?"}]
WEATHER = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
CALL = [
    Admitted(MODEL, 9, 4, 100),
    ToolCallDelta(0, "call_a", "get_weather"),
    ToolCallDelta(0, arguments='{"city":'),
    ToolCallDelta(0, arguments='"Paris"}'),
    ToolCallDone(0, "call_a", "get_weather", {"city": "Paris"}),
    Finished("tool_calls", Usage(9, 4, 7), TIMINGS),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_functions_are_called_under_their_older_names(connect):
    service = FakeService(script=CALL)
    client = connect(service)
    asked = {
        "model": MODEL,
        "messages": HELLO,
        "functions": [WEATHER],
        "function_call": {"name": "get_weather"},
    }
    answer = client.chat.completions.create(**asked).choices[0]
    assert answer.finish_reason == "function_call"
    assert answer.message.tool_calls is None
    assert (answer.message.function_call.name, answer.message.function_call.arguments) == (
        "get_weather",
        '{"city":"Paris"}',
    )
    choice = service.requests[0].tool_choice
    assert (choice.mode, choice.name, choice.parallel) == ("required", "get_weather", False)
    chunks = list(client.chat.completions.create(**asked, stream=True))
    pieces = [
        chunk.choices[0].delta.function_call for chunk in chunks if chunk.choices[0].delta.function_call
    ]
    assert [piece.name for piece in pieces] == ["get_weather", None, None]
    assert "".join(piece.arguments for piece in pieces) == '{"city":"Paris"}'
    assert chunks[-1].choices[0].finish_reason == "function_call"


def test_a_called_function_and_its_result_go_back(connect):
    service = FakeService()
    history = [
        *HELLO,
        {"role": "assistant", "content": None, "function_call": {"name": "get_weather", "arguments": "{}"}},
        {"role": "function", "name": "get_weather", "content": "18 degrees"},
    ]
    answer = connect(service).chat.completions.create(model=MODEL, messages=history)
    assert answer.choices[0].message.content == "18 degrees"
    _, call, result = service.requests[0].messages
    assert call.tool_calls[0].name == "get_weather"
    assert (result.role, result.name) == ("tool", "get_weather")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_functions_and_tools_together_are_refused(connect):
    client = connect(FakeService())
    tool = {"type": "function", "function": WEATHER}
    with pytest.raises(openai.BadRequestError, match="not both"):
        client.chat.completions.create(model=MODEL, messages=HELLO, functions=[WEATHER], tools=[tool])
    with pytest.raises(openai.BadRequestError, match="function_call is 'required'"):
        client.chat.completions.create(
            model=MODEL, messages=HELLO, functions=[WEATHER], extra_body={"function_call": "required"}
        )


def token(text: str, logprob: float | None) -> TokenLogprob:
    top = [] if logprob is None else [(1, text, list(text.encode()), logprob)]
    return TokenLogprob(1, text, list(text.encode()), logprob, top)


def test_the_likeliest_of_several_answers_is_kept(connect):
    script = [Admitted(MODEL, 3, 0, 9)]
    for choice, logprob in enumerate((-2.0, -0.5, -1.0)):
        script.append(TextDelta(f"answer {choice}", choice, [token(f"answer {choice}", logprob)]))
        script.append(Finished("stop", Usage(3, 0, 1), TIMINGS, choice))
    service = FakeService(script=script)
    client = connect(service)
    answer = client.completions.create(model=MODEL, prompt="x", best_of=3, n=2)
    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "answer 1"), (1, "answer 2")]
    assert answer.choices[0].logprobs is None
    assert answer.usage.completion_tokens == 3
    assert (service.requests[0].num_choices, service.requests[0].sampling.top_logprobs) == (3, 0)
    for wrong, words in (({"best_of": 2, "n": 3}, "at least n"), ({"best_of": 2, "stream": True}, "stream")):
        with pytest.raises(openai.BadRequestError, match=words):
            client.completions.create(model=MODEL, prompt="x", **wrong)


def test_echoed_prompt_has_its_logprobs_and_offsets_go_on_through_the_stream(connect):
    script = [
        Admitted(MODEL, 2, 0, 9),
        TextDelta("Hi you", 0, [token("Hi", None), token(" you", -1.5)]),
        TextDelta("!", 0, [token("!", -0.25)]),
        Finished("stop", Usage(2, 0, 1), TIMINGS),
    ]
    service = FakeService(script=script)
    client = connect(service)
    asked = {"model": MODEL, "prompt": "Hi you", "echo": True, "logprobs": 1}
    choice = client.completions.create(**asked).choices[0]
    assert choice.text == "Hi you!"
    assert choice.logprobs.tokens == ["Hi", " you", "!"]
    assert choice.logprobs.token_logprobs == [None, -1.5, -0.25]
    assert choice.logprobs.top_logprobs == [None, {" you": -1.5}, {"!": -0.25}]
    assert choice.logprobs.text_offset == [0, 2, 6]
    chunks = [chunk.choices[0] for chunk in client.completions.create(**asked, stream=True)]
    offsets = [offset for chunk in chunks if chunk.logprobs for offset in chunk.logprobs.text_offset]
    assert offsets == [0, 2, 6]
    scored = client.completions.create(**{**asked, "max_tokens": 0})
    assert scored.choices[0].logprobs is not None
    assert service.requests[-1].sampling.max_tokens == 0


def test_equal_fingerprints_name_equal_models(connect):
    client = connect(FakeService())
    whole = client.chat.completions.create(model=MODEL, messages=HELLO)
    stream = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    completion = client.completions.create(model=MODEL, prompt="x")
    found = {whole.system_fingerprint, completion.system_fingerprint}
    found |= {chunk.system_fingerprint for chunk in stream}
    assert len(found) == 1
    assert found.pop().startswith("fp_")


def test_usage_tells_of_guessed_and_of_reasoning_tokens(connect):
    script = [Admitted(MODEL, 3, 1, 9), TextDelta("x"), Finished("stop", Usage(3, 1, 9, 4, 5, 2), TIMINGS)]
    client = connect(FakeService(script=script))
    for usage in (
        client.chat.completions.create(model=MODEL, messages=HELLO).usage,
        client.completions.create(model=MODEL, prompt="x").usage,
    ):
        details = usage.completion_tokens_details
        assert (details.accepted_prediction_tokens, details.rejected_prediction_tokens) == (5, 2)
        assert (details.reasoning_tokens, usage.prompt_tokens_details.cached_tokens) == (4, 1)
