"""What an answer has to say of itself reaches the client, on every generating endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from jackfield.host import Host
from jackfield.server import ServerSettings, build_app
from jackfield.service.events import Admitted, Finished, TextDelta, Timings, Usage
from jackfield.testing.live import LiveServer
from jackfield.testing.service import FakeService

MODEL = "echo-tiny.gguf"
NOTE = "3 of 5 messages were dropped"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
ENDPOINTS = {
    "/api/generate": {"model": MODEL, "prompt": "hello"},
    "/api/chat": CHAT,
    "/api/chat/ollama": CHAT,
    "/api/chat/webui": {"messages": CHAT["messages"]},
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": MODEL, "prompt": "hello"},
    "/v1/responses": {"model": MODEL, "input": "hello"},
    "/v1/messages": {**CHAT, "max_tokens": 9},
    "/completion": {"prompt": "hello"},
}


def serve(note: str) -> Iterator[str]:
    host = Host(allow=["ollama", "openai", "responses", "anthropic", "webui", "llamacpp"])
    end = Finished("stop", Usage(5, 0, 1), Timings(9, 1, 0, 4, 4), note=note)
    script = [Admitted(MODEL, 5, 0, 9), TextDelta("Hi"), end]
    with LiveServer(build_app(ServerSettings(port=0), FakeService(script=script), host)) as server:
        yield server.url


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    yield from serve(NOTE)


@pytest.fixture(scope="module")
def silent_url() -> Iterator[str]:
    yield from serve("")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_note_reaches_the_client(url: str, path: str, stream: bool) -> None:
    answer = httpx.post(url + path, json={**ENDPOINTS[path], "stream": stream})
    assert answer.status_code == 200
    assert f'"note":"{NOTE}"' in answer.text


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_answer_without_a_note_has_no_key_for_it(silent_url: str, path: str) -> None:
    assert '"note"' not in httpx.post(silent_url + path, json={**ENDPOINTS[path], "stream": False}).text
