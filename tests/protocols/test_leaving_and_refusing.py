"""On every newer endpoint: a client that leaves ends its generation, and a refusal is a status, also for a stream."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from jackfield.errors import ContextOverflow
from jackfield.testing.service import FakeService

MODEL = "echo-tiny.gguf"
WORDS = "word " * 400
ENDPOINTS = {
    "/v1/responses": {"model": MODEL, "input": WORDS},
    "/v1/messages": {"model": MODEL, "max_tokens": 999, "messages": [{"role": "user", "content": WORDS}]},
    "/completion": {"prompt": WORDS},
    "/infill": {"input_prefix": WORDS, "input_suffix": "x"},
}
Serve = Callable[[FakeService], str]


def wait_for(service: FakeService) -> None:
    deadline_s = time.monotonic() + 5.0
    while not service.num_cancelled and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert (service.num_cancelled, service.num_running) == (1, 0)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_leaving_a_stream_ends_its_generation(serve: Serve, path: str):
    service = FakeService(delay_s=0.02)
    body = {**ENDPOINTS[path], "stream": True}
    with httpx.stream("POST", serve(service) + path, json=body) as response:
        next(response.iter_bytes())
    wait_for(service)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_leaving_before_a_whole_answer_ends_its_generation(serve: Serve, path: str):
    service = FakeService(delay_s=0.02)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(serve(service) + path, json=ENDPOINTS[path], timeout=0.5)
    wait_for(service)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_refusal_of_a_stream_is_a_status(serve: Serve, path: str):
    overflow = ContextOverflow("too long", numbers={"n_prompt": 9, "n_ctx": 4})
    url = serve(FakeService(script=[overflow]))
    response = httpx.post(url + path, json={**ENDPOINTS[path], "stream": True})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"]["n_ctx"] == 4
