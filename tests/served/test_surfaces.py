"""Surfaces beside chat, through the server's own process and its child: the same model answers all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import anthropic
import httpx
import openai
import pytest

from jackfield.testing.served import ServedModel
from jackfield.testing.tiny import make_checkpoint

pytestmark = pytest.mark.server
HELLO = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedModel]:
    path = make_checkpoint(tmp_path_factory.mktemp("models") / "tiny.gguf", "qwen3")
    with ServedModel(path, "--context", "512", "--backend", "reference") as server:
        yield server


def test_every_surface_gives_the_same_answer(served: ServedModel, sdk: openai.OpenAI):
    chat = sdk.chat.completions.create(model="tiny", messages=HELLO, max_tokens=12)
    text = chat.choices[0].message.content
    assert sdk.responses.create(model="tiny", input="Hello there", max_output_tokens=12).output_text == text
    with sdk.responses.stream(model="tiny", input="Hello there", max_output_tokens=12) as stream:
        assert "".join(e.delta for e in stream if e.type == "response.output_text.delta") == text
    with anthropic.Anthropic(base_url=served.url, api_key="not-needed", max_retries=0) as client:
        message = client.messages.create(model="tiny", messages=HELLO, max_tokens=12)
        assert message.content[0].text == text
        counted = client.messages.count_tokens(model="tiny", messages=HELLO)
    assert counted.input_tokens == chat.usage.prompt_tokens


def test_a_dry_run_promises_what_the_request_then_gets(served: ServedModel, sdk: openai.OpenAI):
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "a dry run " * 12}], "max_tokens": 4}
    sdk.chat.completions.create(**asked)
    promised = httpx.post(f"{served.url}/v1/chat/completions", json={**asked, "dry_run": True}).json()
    usage = sdk.chat.completions.create(**asked).usage
    assert promised["prompt_tokens"] == usage.prompt_tokens
    assert promised["cached_tokens"] == usage.prompt_tokens_details.cached_tokens > 0
    assert promised["parameters"]["max_tokens"] == promised["max_tokens"] == 4


def test_an_echoed_text_is_scored_as_it_was_picked(sdk: openai.OpenAI):
    first = sdk.completions.create(model="tiny", prompt=[5, 6, 7], max_tokens=8, logprobs=0).choices[0]
    whole = sdk.completions.create(
        model="tiny", prompt=[5, 6, 7], max_tokens=8, logprobs=0, echo=True
    ).choices[0]
    assert whole.logprobs.token_logprobs[0] is None
    assert len(whole.logprobs.tokens) == 3 + len(first.logprobs.tokens)
    assert whole.logprobs.token_logprobs[3:] == pytest.approx(first.logprobs.token_logprobs, abs=1e-4)
    scored = sdk.completions.create(
        model="tiny", prompt=[5, 6, 7], max_tokens=0, logprobs=0, echo=True
    ).choices[0]
    assert scored.logprobs.token_logprobs[1:] == pytest.approx(whole.logprobs.token_logprobs[1:3], abs=1e-4)


def test_vectors_rank_the_text_itself_first(served: ServedModel, sdk: openai.OpenAI):
    [vector] = sdk.embeddings.create(model="tiny", input="a few words").data
    assert math.isclose(math.hypot(*vector.embedding), 1.0, rel_tol=1e-4)
    body = {"query": "a few words", "documents": ["something else", "a few words"]}
    best = httpx.post(f"{served.url}/v1/rerank", json=body).json()["results"][0]
    assert (best["index"], round(best["relevance_score"], 4)) == (1, 1.0)


def test_infill_without_its_tokens_is_refused(served: ServedModel, sdk: openai.OpenAI):
    with pytest.raises(openai.BadRequestError, match="does not support insert"):
        sdk.completions.create(model="tiny", prompt="a", suffix="b")
    body = {"model": "tiny", "prompt": "a", "suffix": "b"}
    refused = httpx.post(f"{served.url}/api/generate", json=body)
    assert (refused.status_code, "does not support insert" in refused.json()["error"]) == (400, True)
    refused = httpx.post(f"{served.url}/infill", json={"input_prefix": "a", "input_suffix": "b"})
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "not_supported_error")


def test_completion_streams_its_figures(served: ServedModel):
    body = {"prompt": "Hello", "n_predict": 6, "return_tokens": True}
    whole = httpx.post(f"{served.url}/completion", json=body).json()
    assert (len(whole["tokens"]), whole["tokens_predicted"], whole["stop_type"]) == (6, 6, "limit")
    assert len(httpx.get(f"{served.url}/slots").json()) == 16
