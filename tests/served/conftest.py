"""Clients of the server that each file starts as it needs it, in a fixture ``served``."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from jackfield.testing.served import ServedModel


@pytest.fixture
def sdk(served: ServedModel) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="not-needed", max_retries=0) as client:
        yield client
