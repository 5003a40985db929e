"""One application with every dialect over a service without an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from jackfield.host import Host
from jackfield.server import ServerSettings, build_app
from jackfield.testing.live import LiveServer
from jackfield.testing.service import FakeService

Serve = Callable[[FakeService], str]


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
