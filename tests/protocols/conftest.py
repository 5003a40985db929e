"""One application with every protocol over a service without an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from jackfield.host import Host
from jackfield.server import ServerSettings, build_app
from jackfield.testing.live import LiveServer
from jackfield.testing.service import FakeService

Serve = Callable[[FakeService], str]
MODEL = "echo-tiny.gguf"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
GENERATING = {
    "/api/generate": {"model": MODEL, "prompt": "hello"},
    "/api/chat": CHAT,
    "/api/chat/ollama": CHAT,
    "/api/chat/webui": {"messages": CHAT["messages"]},
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": MODEL, "prompt": "hello"},
    "/v1/responses": {"model": MODEL, "input": "hello"},
    "/v1/messages": {**CHAT, "max_tokens": 9},
    "/completion": {"prompt": "hello"},
    "/infill": {"input_prefix": "hello", "input_suffix": "x"},
}


@pytest.fixture(params=GENERATING)
def endpoint(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Return the path of each endpoint that generates, and the least body it takes."""
    return request.param, GENERATING[request.param]


@pytest.fixture(scope="session")
def host() -> Host:
    return Host(allow=["ollama", "openai", "responses", "anthropic", "llamacpp"])


@pytest.fixture
def serve(host: Host) -> Iterator[Serve]:
    """Return a function that serves a service for the rest of the test and returns its URL."""
    with ExitStack() as running:

        def start(service: FakeService) -> str:
            app = build_app(ServerSettings(port=0), service, host)
            return running.enter_context(LiveServer(app)).url

        yield start
