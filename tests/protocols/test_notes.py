"""What an answer has to say of itself reaches the client, on every generating endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from jackfield.host import Host
from jackfield.server import ServerSettings, build_app
from jackfield.service.events import Admitted, Finished, TextDelta, Timings, Usage
from jackfield.testing.live import LiveServer
from jackfield.testing.service import FakeService

MODEL = "echo-tiny.gguf"
NOTE = "3 of 5 messages were dropped"
Endpoint = tuple[str, dict[str, Any]]


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
def test_a_note_reaches_the_client(url: str, endpoint: Endpoint, stream: bool) -> None:
    path, body = endpoint
    answer = httpx.post(url + path, json={**body, "stream": stream})
    assert answer.status_code == 200
    assert f'"note":"{NOTE}"' in answer.text


def test_an_answer_without_a_note_has_no_key_for_it(silent_url: str, endpoint: Endpoint) -> None:
    path, body = endpoint
    assert '"note"' not in httpx.post(silent_url + path, json={**body, "stream": False}).text
