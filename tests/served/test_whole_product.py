"""The product as its users meet it: one process, real sockets, unmodified clients."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import ollama
import openai
import pytest

from jackfield.testing.served import ServedModel
from jackfield.testing.tiny import make_checkpoint

pytestmark = pytest.mark.server
HELLO = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedModel]:
    path = make_checkpoint(tmp_path_factory.mktemp("models") / "tiny.gguf", "qwen3", tensor_type="Q8_0")
    with ServedModel(path, "--context", "512") as server:
        yield server


def status(served: ServedModel) -> dict:
    return httpx.get(f"{served.url}/api/queue/status").json()


def test_streams_join_to_the_whole_answer_on_every_dialect(served: ServedModel, sdk: openai.OpenAI):
    whole = sdk.chat.completions.create(model="tiny", messages=HELLO, max_tokens=24)
    text = whole.choices[0].message.content
    stream = sdk.chat.completions.create(model="tiny", messages=HELLO, max_tokens=24, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == text
    with ollama.Client(served.url) as client:
        options = {"num_predict": 24}
        assert client.chat("tiny", HELLO, options=options).message.content == text
        pieces = client.chat("tiny", HELLO, options=options, stream=True)
        assert "".join(piece.message.content for piece in pieces) == text
    body = {"messages": HELLO, "maxTokens": 24}
    frames = httpx.post(f"{served.url}/api/chat", json=body).text.split("\n\n")
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames if frame.startswith("data: ")]
    assert "".join(event.get("token", "") for event in events) == text
    assert events[-1]["done"] is True
    assert events[-1]["error"] is None


def test_a_second_turn_reuses_the_prefix(sdk: openai.OpenAI):
    first = sdk.chat.completions.create(model="tiny", messages=HELLO, max_tokens=16)
    history = [
        *HELLO,
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "And then?"},
    ]
    second = sdk.chat.completions.create(model="tiny", messages=history, max_tokens=16)
    shared = first.usage.prompt_tokens + first.usage.completion_tokens
    assert second.usage.prompt_tokens_details.cached_tokens >= 0.95 * (shared - 1)


def test_greedy_answers_are_the_same_alone_and_together(sdk: openai.OpenAI):
    prompts = [f"Tell me about number {n} and {n * n}" for n in range(6)]

    def answer(prompt: str) -> str:
        created = sdk.completions.create(model="tiny", prompt=prompt, max_tokens=24)
        return created.choices[0].text

    alone = [answer(prompt) for prompt in prompts]
    together: dict[str, str] = {}
    threads = [threading.Thread(target=lambda p=p: together.update({p: answer(p)})) for p in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[prompt] for prompt in prompts] == alone


def test_a_long_prompt_is_refused_with_the_figures(sdk: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as error:
        sdk.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "word " * 2000}])
    assert error.value.code == "context_length_exceeded"
    assert error.value.body["n_prompt"] > error.value.body["n_ctx"] == 512


def test_images_are_refused_clearly(served: ServedModel):
    with ollama.Client(served.url) as client, pytest.raises(ollama.ResponseError, match="image"):
        client.generate("tiny", "What is this?", images=[b"\x89PNG not really"])


def test_tools_are_accepted(sdk: openai.OpenAI):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    answer = sdk.chat.completions.create(model="tiny", messages=HELLO, tools=[tool], max_tokens=8)
    assert answer.choices[0].finish_reason in ("length", "stop", "tool_calls")


def test_two_hundred_disconnects_leave_nothing_behind(served: ServedModel, sdk: openai.OpenAI):
    sdk.completions.create(model="tiny", prompt="warm", max_tokens=2)
    descriptors = Path(f"/proc/{served.process.pid}/fd")
    before, draw = len(list(descriptors.iterdir())), random.Random(7)
    body = {"model": "tiny", "messages": HELLO, "options": {"num_predict": 400}, "stream": True}
    for _ in range(200):
        num_lines = draw.choice([0, 0, 1, 2, 5, 12])
        with httpx.stream("POST", f"{served.url}/api/chat/ollama", json=body) as response:
            for _ in zip(range(num_lines), response.iter_lines(), strict=False):
                pass
    deadline_s = time.monotonic() + 5.0
    while status(served)["busy"] and time.monotonic() < deadline_s:
        time.sleep(0.05)
    found = status(served)
    assert (found["busy"], found["pending_requests"]) == (False, 0)
    assert len(list(descriptors.iterdir())) <= before + 2
    answer = sdk.chat.completions.create(model="tiny", messages=HELLO, max_tokens=4)
    assert answer.usage.completion_tokens == 4


def test_health_is_green_and_the_page_is_served(served: ServedModel):
    assert httpx.get(f"{served.url}/health").json()["status"] == "ok"
    page = httpx.get(served.url, headers={"accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert httpx.get(served.url, headers={"accept": "*/*"}).text == "Ollama is running"


def test_sigterm_lets_a_running_answer_finish(tmp_path: Path):
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    with ServedModel(path, "--context", "1024") as server:
        body = {"model": "tiny", "prompt": "a", "options": {"num_predict": 300}}
        with httpx.stream("POST", f"{server.url}/api/generate", json=body, timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGTERM)
            last = [json.loads(line) for line in lines][-1]
        assert last["done"] is True
        assert last["done_reason"] in ("length", "stop")
        assert server.process.wait(10) == 0


@pytest.mark.oracle
def test_the_trained_model_tells_its_story(oracles: Path):
    stories = json.loads((oracles / "stories260K" / "continuations.json").read_text(encoding="utf-8"))
    with ServedModel(oracles / "stories260K" / "stories260K-F32.gguf", "--kv-type", "f32") as server:
        for story in stories:
            body = {"model": "stories260K-F32", "prompt": story["prompt"], "raw": True, "stream": False}
            body["options"] = {"num_predict": len(story["F32"]["ids"])}
            answer = httpx.post(f"{server.url}/api/generate", json=body, timeout=120).json()
            assert answer["response"] == story["F32"]["text"]
