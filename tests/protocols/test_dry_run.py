"""``dry_run`` on every generating endpoint: one shape, and nothing is generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from jackfield.host import Host
from jackfield.server import ServerSettings, build_app
from jackfield.service.events import DryRun
from jackfield.testing.live import LiveServer
from jackfield.testing.service import FakeService

MODEL = "echo-tiny.gguf"


@pytest.fixture(scope="module")
def url() -> str:
    host = Host(allow=["ollama", "openai", "responses", "anthropic", "webui", "llamacpp"])
    with LiveServer(build_app(ServerSettings(port=0), FakeService(), host)) as server:
        yield server.url


@pytest.mark.parametrize("stream", [True, False])
def test_every_endpoint_answers_with_the_one_shape(
    url: str, endpoint: tuple[str, dict[str, Any]], stream: bool
):
    path, body = endpoint
    response = httpx.post(url + path, json={**body, "stream": stream, "dry_run": True})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    found = msgspec.json.decode(response.content, type=DryRun)
    assert set(response.json()) == set(DryRun.__struct_fields__)
    assert (found.object, found.model) == ("dry_run", MODEL)
    assert "hello" in found.prompt
    assert found.prompt_tokens > 0
    assert found.parameters["temperature"] == 0.0


def test_several_prompts_have_an_object_each(url: str):
    body = {"model": MODEL, "prompt": ["one", "three"], "dry_run": True}
    answer = httpx.post(f"{url}/v1/completions", json=body).json()
    assert [item["prompt"] for item in answer["data"]] == ["one", "three"]


def test_a_refusal_is_the_dialects_own(serve: Callable[[FakeService], str]):
    url = serve(FakeService())
    body = {
        "model": "other",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 9,
        "dry_run": True,
    }
    assert httpx.post(f"{url}/v1/messages", json=body).json()["error"]["type"] == "not_found_error"
