"""A diffusion model as its users meet it: whole blocks on every protocol, previews on the page, clear refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import ollama
import openai
import pytest

from jackfield.testing.families.diffusion_gemma import CANVAS_LENGTH
from jackfield.testing.served import ServedModel
from jackfield.testing.tiny import make_checkpoint

pytestmark = pytest.mark.server
HELLO = [{"role": "user", "content": "Hello there"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
NUM_TOKENS = 3 * CANVAS_LENGTH


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedModel]:
    folder = tmp_path_factory.mktemp("models")
    path = make_checkpoint(folder / "tiny.gguf", "diffusion-gemma", num_layers=3)
    with ServedModel(path, "--context", "512", "--backend", "reference") as server:
        yield server


def complete(sdk: openai.OpenAI, **more: Any) -> Any:
    settings = {"model": "tiny", "messages": HELLO, "max_tokens": NUM_TOKENS, "seed": 7, **more}
    return sdk.chat.completions.create(**settings)


def frames(served: ServedModel) -> list[dict[str, Any]]:
    body = {"messages": HELLO, "maxTokens": NUM_TOKENS, "seed": 7}
    lines = httpx.post(f"{served.url}/api/chat", json=body, timeout=60).text.split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def test_every_surface_gives_the_same_blocks(served: ServedModel, sdk: openai.OpenAI) -> None:
    whole = complete(sdk)
    text = whole.choices[0].message.content
    assert text
    assert whole.usage.completion_tokens <= NUM_TOKENS
    pieces = [chunk.choices[0].delta.content for chunk in complete(sdk, stream=True) if chunk.choices]
    assert "".join(piece or "" for piece in pieces) == text
    assert sum(bool(piece) for piece in pieces) <= NUM_TOKENS // CANVAS_LENGTH + 1
    with ollama.Client(served.url) as client:
        options = {"num_predict": NUM_TOKENS, "seed": 7}
        assert client.chat("tiny", HELLO, options=options).message.content == text
        streamed = client.chat("tiny", HELLO, options=options, stream=True)
        assert "".join(part.message.content or "" for part in streamed) == text


def test_the_page_sees_every_pass(served: ServedModel, sdk: openai.OpenAI) -> None:
    *shown, summary = frames(served)
    assert summary["done"]
    assert summary["error"] is None
    assert {frozenset(frame) for frame in shown} == {
        frozenset({"replace", "diffusionStep", "diffusionTotal", "preview"})
    }
    final = [frame for frame in shown if not frame["preview"]]
    assert final[-1]["replace"] == complete(sdk).choices[0].message.content
    assert all(1 <= frame["diffusionStep"] <= frame["diffusionTotal"] == 6 for frame in shown)


def test_requests_at_once_get_what_each_gets_alone(sdk: openai.OpenAI) -> None:
    def answer(seed: int) -> str:
        created = sdk.completions.create(model="tiny", prompt="Once", max_tokens=NUM_TOKENS, seed=seed)
        return created.choices[0].text

    alone = [answer(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(answer, range(4))) == alone
    assert len(set(alone)) > 1


def test_greedy_answers_repeat_without_a_seed(sdk: openai.OpenAI) -> None:
    settings = {"seed": None, "temperature": 0.0}
    first, second = (complete(sdk, **settings).choices[0].message.content for _ in range(2))
    assert first == second


def test_the_prompt_is_found_in_the_cache(sdk: openai.OpenAI) -> None:
    complete(sdk)
    usage = complete(sdk, seed=8).usage
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL]},
        {"reasoning_effort": "low"},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_blocks_cannot_do_is_an_openai_400(
    sdk: openai.OpenAI, fields: dict[str, Any], stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError, match="writes whole blocks by diffusion and cannot"):
        complete(sdk, stream=stream, **fields)


@pytest.mark.parametrize("fields", [{"tools": [TOOL]}, {"think": True}, {"format": "json"}])
def test_what_blocks_cannot_do_is_an_ollama_400(served: ServedModel, fields: dict[str, Any]) -> None:
    with ollama.Client(served.url) as client:
        refusal = "writes whole blocks by diffusion|does not support thinking"
        with pytest.raises(ollama.ResponseError, match=refusal) as caught:
            client.chat("tiny", HELLO, **fields)
        assert caught.value.status_code == 400
        assert client.show("tiny").capabilities == ["completion", "embedding"]
