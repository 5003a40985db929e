"""The contract's own Ollama endpoints, to the byte where the contract is."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from jackfield.errors import RequestError
from jackfield.service.events import Admitted, Finished, QueuePlace, TextDelta, Timings, ToolCallDone, Usage
from jackfield.testing.service import FakeService
from jackfield_protocols.ollama.dispatch import claim_chat
from jackfield_protocols.ollama.requests import decode_generate, generate_request

MODEL = "echo-tiny.gguf"
HELLO = {"model": MODEL, "messages": [{"role": "user", "content": "hi there"}]}


def lines(response: httpx.Response) -> list[dict]:
    return [json.loads(line) for line in response.text.splitlines()]


def test_contract_chat_ends_tool_turns_with_their_own_reason(serve: Callable[[FakeService], str]):
    script = [
        QueuePlace(1, 1),
        0.3,
        Admitted(MODEL, 9, 4, 100),
        TextDelta("let me see"),
        ToolCallDone(0, "call_a", "f", {"x": 1}),
        Finished("tool_calls", Usage(9, 4, 7), Timings(100, 1, 2, 40, 50)),
    ]
    url = serve(FakeService(script=script))
    response = httpx.post(f"{url}/api/chat/ollama", json={**HELLO, "tools": []})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["cache-control"] == "no-cache"
    queued, text, last = lines(response)
    assert (queued["queue_position"], queued["queue_pending"], queued["done"]) == (1, 1, False)
    assert text["message"] == {"role": "assistant", "content": "let me see"}
    assert last["done_reason"] == "tool_calls"
    assert last["message"]["tool_calls"][0]["function"]["arguments"] == {"x": 1}
    assert (last["prompt_cache_hit_tokens"], last["prompt_cache_hit_ratio"]) == (4, 0.4444)
    assert (last["total_duration"], last["load_duration"]) == (100, 2)
    assert (last["prompt_eval_duration"], last["eval_duration"]) == (40, 50)
    assert all("error" not in line for line in (queued, text, last))


def test_errors_come_in_the_contracts_order(serve: Callable[[FakeService], str]):
    url = serve(FakeService())
    for path in ("/api/chat/ollama", "/api/generate", "/api/show"):
        response = httpx.post(url + path, json={})
        assert (response.status_code, response.json()["error"]) == (400, "model is required")
    response = httpx.post(f"{url}/api/chat/ollama", json={"model": "other"})
    assert (response.status_code, response.json()["error"]) == (400, "messages is required")
    response = httpx.post(f"{url}/api/chat/ollama", json={**HELLO, "model": "other"})
    assert response.status_code == 404
    assert "not found" in response.json()["error"]


def test_a_model_cannot_be_uploaded(serve: Callable[[FakeService], str]):
    response = httpx.post(f"{serve(FakeService())}/api/blobs/sha256:{'0' * 64}", content=b"GGUF")
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


def test_malformed_json_is_a_400_in_shape(serve: Callable[[FakeService], str]):
    response = httpx.post(f"{serve(FakeService())}/api/generate", content=b'{"model": ')
    assert response.status_code == 400
    assert isinstance(response.json()["error"], str)


def test_version_compares_as_numbers(serve: Callable[[FakeService], str]):
    body = httpx.get(f"{serve(FakeService())}/api/version").json()
    assert tuple(map(int, body["version"].split("."))) >= (0, 6, 4)
    assert body["jackfield"]


def test_without_a_model_the_lists_are_empty(serve: Callable[[FakeService], str]):
    url = serve(FakeService(hosted=False))
    assert httpx.get(f"{url}/api/tags").json() == {"models": []}
    assert httpx.get(f"{url}/api/ps").json() == {"models": []}
    assert httpx.head(f"{url}/api/tags").status_code == 200


def translate(**fields):
    return generate_request(
        decode_generate({"model": "m", "prompt": "p", **fields}), request_id="r", owner=""
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"raw": True, "system": "s"}, "raw mode does not support"),
        ({"template": "{{ x }}"}, "template in a request"),
        ({"context": [1, 2], "suffix": "s"}, "context is what a conversation goes on after"),
        ({"images": ["@@"]}, r"images\[0\] is not valid base64"),
        ({"format": "xml"}, "format is 'xml'"),
        ({"think": "huge"}, "think is 'huge'"),
        ({"options": {"num_predict": 0}}, "num_predict is 0"),
        ({"options": {"temperature": []}}, "temperature"),
        ({"top_logprobs": 21}, "top_logprobs"),
    ],
)
def test_a_wrong_field_has_its_message(fields, message):
    with pytest.raises(RequestError, match=message):
        translate(**fields)


def test_generate_goes_on_after_a_context():
    request = translate(context=[5, 6, 7])
    assert (request.earlier_tokens, request.prompt) == ([5, 6, 7], None)


def test_generate_never_uses_a_cached_prefix_and_wraps_the_prompt():
    request = translate(system="be brief", images=["data:image/png;base64,aGk="], options={"seed": -1})
    assert request.reset_session
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.messages[1].images[0].data == b"hi"
    assert request.sampling.seed is None
    assert translate(raw=True).prompt == "p"
    assert translate(options={"num_predict": -1}).sampling.max_tokens is None


def test_whole_numbers_may_be_written_as_floats():
    sampling = translate(options={"num_predict": 50.0, "top_k": 40.0, "temperature": 1}).sampling
    assert (sampling.max_tokens, sampling.top_k, sampling.temperature) == (50, 40, 1.0)
    with pytest.raises(RequestError, match="num_predict"):
        translate(options={"num_predict": 50.5})


OLLAMA_AGENT = {"user-agent": "ollama-python/0.6.3"}


@pytest.mark.parametrize(
    ("body", "headers", "is_ours"),
    [
        ({"model": "m", "messages": []}, {}, True),
        ({"model": "m", "stream": True, "messages": []}, {}, True),
        ({"model": "m", "sessionId": None}, {}, False),
        ({"model": "m", "sessionId": None, "stream": True}, {}, False),
        ({"model": "m", "sessionId": None, "stream": True}, OLLAMA_AGENT, True),
        ({"messages": [], "sessionId": "x"}, {}, False),
        ({"messages": []}, {}, False),
        ({"messages": [], "options": {}}, {}, True),
        ({"messages": [{"images": []}]}, {}, True),
        ({"messages": [{"imagePaths": []}], "stream": True}, {}, False),
        ({"model": "", "messages": []}, {}, False),
        ([], {}, False),
    ],
)
def test_a_shared_chat_body_is_claimed_by_its_marks(body, headers, is_ours):
    assert (claim_chat(body, headers) > 1) is is_ours
