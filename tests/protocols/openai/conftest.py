"""The unmodified ``openai`` package, connected to a service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import openai
import pytest

from jackfield.testing.service import FakeService


@pytest.fixture
def connect(serve: Callable[[FakeService], str]) -> Iterator[Callable[[FakeService], openai.OpenAI]]:
    """Return a function that serves a service for the rest of the test and returns a client of it."""
    with ExitStack() as clients:

        def client_of(service: FakeService) -> openai.OpenAI:
            client = openai.OpenAI(base_url=f"{serve(service)}/v1", api_key="not-needed", max_retries=0)
            return clients.enter_context(client)

        yield client_of
