"""llama-server's completions, infill and ranking."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import httpx
import pytest

from jackfield.errors import ContextOverflow
from jackfield.service.events import Admitted, Finished, TextDelta, Timings, TokenLogprob, Usage
from jackfield.service.requests import GenerationRequest
from jackfield.testing.event_streams import frames_of, heard_in, random_stream
from jackfield.testing.service import FakeService
from jackfield_protocols.llamacpp.frames import CompletionAnswer, CompletionFrames

MODEL = "echo-tiny.gguf"
Serve = Callable[[FakeService], str]


def test_whole_completion_has_text_figures_and_reason(serve: Serve):
    service = FakeService()
    url = serve(service)
    answer = httpx.post(
        f"{url}/completion", json={"prompt": "one two three", "n_predict": 2, "top_k": 5}
    ).json()
    assert (answer["content"], answer["stop"], answer["stop_type"]) == ("one two", True, "limit")
    assert (answer["tokens_predicted"], answer["model"]) == (2, MODEL)
    assert answer["timings"]["predicted_n"] == 2
    assert answer["timings"]["prompt_ms"] == 4.0
    assert answer["generation_settings"]["top_k"] == service.requests[0].sampling.top_k == 5
    whole = httpx.post(f"{url}/completion", json={"prompt": "one two three"}).json()
    assert (whole["content"], whole["stop_type"]) == ("one two three", "eos")
    assert service.requests[1].sampling.max_tokens is None


def test_stream_joins_to_the_same_text_and_ends_with_the_figures(serve: Serve):
    body = {"prompt": "one two three", "stream": True}
    response = httpx.post(f"{serve(FakeService())}/completion", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    frames = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]
    assert "".join(frame["content"] for frame in frames) == "one two three"
    assert [frame["stop"] for frame in frames] == [False, False, False, True]
    assert frames[-1]["tokens_predicted"] == 3


def test_streamed_and_whole_completions_say_what_the_events_say():
    draw = random.Random(5)
    wanted = GenerationRequest("r", "llamacpp", MODEL, prompt="p")
    for _ in range(100):
        events = random_stream(draw)
        answer = CompletionAnswer(wanted)
        for event in events:
            answer.take(event)
        lines = frames_of(CompletionFrames(wanted), events).decode().split("\n\n")[:-1]
        streamed = [json.loads(line.removeprefix("data: ")) for line in lines]
        said = heard_in(events).text
        assert "".join(frame["content"] for frame in streamed) == answer.body()["content"] == said
        for name in ("stop_type", "stopping_word", "tokens_cached", "timings", "has_new_line"):
            assert streamed[-1][name] == answer.body()[name]


def test_a_prompt_may_mix_texts_and_tokens(serve: Serve):
    service = FakeService()
    httpx.post(f"{serve(service)}/completion", json={"prompt": [72, "i", 33]})
    assert service.requests[0].prompt_tokens == [72, 105, 33]


def test_fields_are_translated(serve: Serve):
    service = FakeService()
    url = serve(service)
    fields = {
        "temperature": 0.5, "repeat_penalty": 1.2, "seed": 7, "stop": ["a", ""], "grammar": 'root ::= "a"',
        "logit_bias": [[5, -2.0], ["6", False]], "n_probs": 3, "cache_prompt": False, "return_tokens": True,
    }  # fmt: skip
    httpx.post(f"{url}/completion", json={"prompt": "x", **fields}).raise_for_status()
    asked = service.requests[0]
    assert (asked.sampling.temperature, asked.sampling.repeat_penalty, asked.sampling.seed) == (0.5, 1.2, 7)
    assert (asked.sampling.stop, asked.sampling.top_logprobs) == (["a"], 3)
    assert asked.sampling.logit_bias == {5: -2.0, 6: -1e6}
    assert (asked.constraint.kind, asked.reset_session, asked.return_tokens) == ("gbnf", True, True)
    httpx.post(
        f"{url}/completion", json={"prompt": "x", "json_schema": {"type": "object"}, "seed": 2**32 - 1}
    )
    assert (service.requests[1].constraint.kind, service.requests[1].sampling.seed) == ("schema", None)


def test_probabilities_and_tokens_are_told(serve: Serve):
    token = TokenLogprob(5, "hi", [104, 105], -0.5, [(6, "ho", [104, 111], -1.5)])
    script = [
        Admitted(MODEL, 2, 0, 9),
        TextDelta("hi", logprobs=[token]),
        Finished("stop", Usage(2, 0, 1), Timings(9, 0, 0, 4, 5), stop_text="END", tokens=[1, 2, 5]),
    ]
    answer = httpx.post(f"{serve(FakeService(script=script))}/completion", json={"prompt": "x"}).json()
    assert (answer["tokens"], answer["stop_type"], answer["stopping_word"]) == ([5], "word", "END")
    [entry] = answer["completion_probabilities"]
    assert (entry["id"], entry["logprob"], entry["top_logprobs"][0]["token"]) == (5, -0.5, "ho")


def test_infill_is_a_prompt_with_a_suffix(serve: Serve):
    service = FakeService()
    body = {
        "input_extra": [{"filename": "a.py", "text": "x = 1"}],
        "input_prefix": "def f():\n",
        "prompt": "    re",
        "input_suffix": "\nf()",
    }
    httpx.post(f"{serve(service)}/infill", json=body).raise_for_status()
    asked = service.requests[0]
    assert asked.prompt == "a.py\nx = 1\ndef f():\n    re"
    assert asked.suffix == "\nf()"


@pytest.mark.parametrize("path", ["/v1/rerank", "/v1/reranking", "/rerank", "/reranking"])
def test_documents_are_ranked_nearest_first(serve: Serve, path: str):
    body = {
        "query": "red apple",
        "documents": ["a car", "red apple pie", {"text": "an apple"}],
        "top_n": 2,
        "return_documents": True,
    }
    answer = httpx.post(serve(FakeService()) + path, json=body).json()
    assert [(item["index"], item["relevance_score"]) for item in answer["results"]] == [(1, 1.0), (2, 0.5)]
    assert answer["results"][0]["document"] == {"text": "red apple pie"}
    assert answer["usage"]["total_tokens"] > 0


def test_template_takes_messages_as_openais_clients_write_them(serve: Serve):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "18"},
    ]
    answer = httpx.post(f"{serve(FakeService())}/apply-template", json={"messages": messages}).json()
    assert answer["prompt"] == "user: hi\nassistant: \ntool: 18\n"


def test_slots_show_what_runs(serve: Serve):
    [slot] = httpx.get(f"{serve(FakeService())}/slots").json()
    assert slot == {"id": 0, "n_ctx": 4096, "is_processing": False}


def test_overflow_has_llama_servers_type_and_names(serve: Serve):
    overflow = ContextOverflow("too long", numbers={"n_prompt": 9, "n_ctx": 4})
    response = httpx.post(f"{serve(FakeService(script=[overflow]))}/completion", json={"prompt": "x"})
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "exceed_context_size_error")
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (9, 4)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/completion", {}),
        ("/completion", {"prompt": []}),
        ("/completion", {"prompt": "x", "logit_bias": [["word", 1.0]]}),
        ("/infill", {"input_extra": [{"filename": "a"}]}),
        ("/v1/rerank", {"query": "x", "documents": []}),
        ("/v1/rerank", {"query": "x", "documents": [{"title": "t"}]}),
        ("/apply-template", {"messages": [{"content": "x"}]}),
        ("/apply-template", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
    ],
)
def test_wrong_bodies_are_refused_in_shape(serve: Serve, path: str, body: object):
    response = httpx.post(serve(FakeService()) + path, json=body)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
