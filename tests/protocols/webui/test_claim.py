"""One path, two protocols: each body goes to the one that means it."""

from __future__ import annotations

from typing import Any

import pytest

from jackfield.testing.service import FakeService
from jackfield_protocols.webui.claim import claims_chat

HELLO = [{"role": "user", "content": "hi"}]
WITH_FILE = [{"role": "user", "content": "hi", "imagePaths": []}]
WITH_CALL = [{"role": "assistant", "content": "", "tool_calls": []}]
SDK = {"user-agent": "ollama-python/0.6.3 (x86_64 linux) Python/3.11"}

OURS = [
    {"messages": HELLO},
    {"messages": HELLO, "model": ""},
    {"messages": HELLO, "model": None},
    {"messages": HELLO, "think": True, "tools": []},
    {"messages": HELLO, "sessionId": None},
    {"messages": HELLO, "newChat": True},
    {"messages": HELLO, "maxTokens": 5, "stream": True},
    {"messages": WITH_FILE, "options": {}},
    {"messages": HELLO, "model": "m", "sessionId": None},
    {"messages": HELLO, "model": "m", "topK": 1},
    {"messages": HELLO, "model": "m", "backend": "cpu"},
    {"messages": WITH_FILE, "model": "m"},
    {"messages": HELLO, "model": "m", "maxTokens": 5, "stream": True},
    {},
]
OLLAMAS = [
    {"messages": HELLO, "model": "m"},
    {"messages": HELLO, "model": "m", "stream": False},
    {"messages": HELLO, "model": "m", "think": True, "tools": []},
    {"messages": WITH_CALL, "model": "m"},
    {"messages": HELLO, "stream": True},
    {"messages": HELLO, "options": {}, "model": " "},
    {"messages": HELLO, "keep_alive": 0},
    {"messages": WITH_CALL},
]


@pytest.mark.parametrize("body", OURS, ids=str)
def test_the_pages_bodies_are_claimed(body: dict[str, Any]) -> None:
    assert claims_chat(body, {}) == 2


@pytest.mark.parametrize("body", OLLAMAS, ids=str)
def test_ollamas_bodies_are_left_to_it(body: dict[str, Any]) -> None:
    assert claims_chat(body, {}) == 0
    assert claims_chat(body, SDK) == 0


def test_a_mixed_body_of_an_ollama_client_is_its_own() -> None:
    mixed = {"messages": HELLO, "model": "m", "maxTokens": 5, "stream": True}
    assert claims_chat(mixed, SDK) == 0
    assert claims_chat(mixed, {"user-agent": "curl/8"}) == 2


@pytest.mark.parametrize("body", [None, [], "x", 5, {"messages": 5}, {"messages": [5, None]}, {"model": 5}])
def test_any_json_can_be_asked_about(body: Any) -> None:
    assert claims_chat(body, {}) in (0, 2)


def test_the_path_answers_in_both_dialects(open_page: Any) -> None:
    client = open_page(FakeService())
    ours = client.post("/api/chat", json={"messages": HELLO})
    ollamas = client.post("/api/chat", json={"messages": HELLO, "model": "echo-tiny"})
    assert ours.headers["content-type"] == "text/event-stream"
    assert ollamas.headers["content-type"].startswith("application/x-ndjson")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"messages": HELLO, "model": "m", "sessionId": None}, "POST /api/models/load"),
        ({"messages": HELLO, "stream": True}, "model is required"),
    ],
)
def test_impossible_mixtures_are_400(open_page: Any, body: dict[str, Any], text: str) -> None:
    response = open_page().post("/api/chat", json=body)
    assert response.status_code == 400
    assert text in response.json()["error"]
