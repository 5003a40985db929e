"""The chat stream, frame by frame, and the order in which a chat is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jackfield.errors import BackendError, ContextOverflow
from jackfield.server import StreamTimes
from jackfield.service.events import (
    Admitted,
    CanvasPreview,
    Finished,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    Timings,
    ToolCallDelta,
    ToolCallDone,
    Usage,
)
from jackfield.service.requests import Image, Message, Sampling, ToolCall, ToolDefinition
from jackfield.testing.service import FakeService

HELLO = [{"role": "user", "content": "hello big world"}]
MODEL = "echo-tiny.gguf"


def frames_of(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    parts = response.text.split("\n\n")
    assert parts.pop() == "", "the last frame is closed by a blank line"
    assert all(part.startswith(("data: {", ": ")) for part in parts)
    return [msgspec.json.decode(part[6:]) for part in parts if part.startswith("data: ")]


def chat(client: Any, path: str = "/api/chat", **body: Any) -> Any:
    return client.post(path, json={"messages": HELLO, **body})


def finished(num_tokens: int = 187, reason: Any = "stop", num_cached: int = 420) -> Finished:
    return Finished(
        reason, Usage(512, num_cached, num_tokens), Timings(3_143_000_000, 1_000_000_000, 0, 1, 1)
    )


@pytest.mark.parametrize("path", ["/api/chat", "/api/chat/webui"])
def test_a_chat_is_tokens_and_one_summary(open_page: Any, path: str) -> None:
    script = [Admitted(MODEL, 512, 420, 50), TextDelta("Hi"), TextDelta(" there\n"), finished()]
    frames = frames_of(chat(open_page(FakeService(script=script)), path, maxTokens=50, sessionId=None))
    assert frames == [
        {"token": "Hi"},
        {"token": " there\n"},
        {
            "done": True,
            "tokenCount": 187,
            "elapsed": 2.143,
            "tokPerSec": 87.26,
            "aborted": False,
            "error": None,
            "sessionId": "__default__",
            "promptTokens": 512,
            "kvReusedTokens": 420,
            "kvReusePercent": 82.0,
            "finishReason": "stop",
        },
    ]


def test_there_is_no_done_marker_after_the_summary(open_page: Any) -> None:
    assert "[DONE]" not in chat(open_page()).text


def test_every_event_has_its_frame(open_page: Any) -> None:
    script = [
        QueuePlace(2, 3),
        0.1,
        Admitted(MODEL, 10, 0, 50),
        ThinkingDelta("let me see"),
        TextDelta("Hello"),
        ToolCallDelta(0, id="call_1", name="weather"),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDone(0, "call_1", "weather", {"city": "Paris"}),
        ToolCallDone(1, "call_2", "time", {}),
        finished(5, "tool_calls", 0),
    ]
    client = open_page(FakeService(script=script), streams=StreamTimes(queue_grace_s=0.01))
    frames = frames_of(chat(client))
    assert frames[:-1] == [
        {"queue_position": 2, "queue_pending": 3},
        {"thinking": "let me see"},
        {"token": "Hello"},
        {
            "tool_calls": [
                {"name": "weather", "arguments": {"city": "Paris"}},
                {"name": "time", "arguments": {}},
            ]
        },
    ]
    assert frames[-1]["finishReason"] == "tool_calls"
    assert (frames[-1]["kvReusedTokens"], frames[-1]["kvReusePercent"]) == (0, 0.0)


def test_a_diffusion_models_blocks_replace_the_whole_text(open_page: Any) -> None:
    script = [
        Admitted(MODEL, 10, 0, 50),
        CanvasPreview("H_ll_", 1, 8),
        CanvasPreview("Hello", 2, 8),
        TextDelta("Hello "),
        CanvasPreview("Hello wxrld", 8, 8),
        TextDelta("world"),
        finished(11, "stop", 0),
    ]
    frames = frames_of(chat(open_page(FakeService(script=script))))
    assert frames[:-1] == [
        {"replace": "H_ll_", "diffusionStep": 1, "diffusionTotal": 8, "preview": True},
        {"replace": "Hello", "diffusionStep": 2, "diffusionTotal": 8, "preview": True},
        {"replace": "Hello ", "diffusionStep": 2, "diffusionTotal": 8, "preview": False},
        {"replace": "Hello wxrld", "diffusionStep": 8, "diffusionTotal": 8, "preview": True},
        {"replace": "Hello world", "diffusionStep": 8, "diffusionTotal": 8, "preview": False},
    ]


def test_the_token_limit_is_told(open_page: Any) -> None:
    assert frames_of(chat(open_page(), maxTokens=2))[-1]["finishReason"] == "length"


def test_a_failure_in_the_middle_is_the_summarys_error(open_page: Any) -> None:
    script = [Admitted(MODEL, 512, 0, 50), TextDelta("Hi"), BackendError("the kernel failed")]
    frames = frames_of(chat(open_page(FakeService(script=script))))
    assert frames[0] == {"token": "Hi"}
    assert len(frames) == 2
    assert (frames[1]["done"], frames[1]["error"], frames[1]["promptTokens"]) == (
        True,
        "the kernel failed",
        512,
    )


def test_a_cancelled_generation_says_aborted(open_page: Any) -> None:
    script = [Admitted(MODEL, 512, 0, 50), TextDelta("Hi"), finished(1, "cancelled")]
    assert frames_of(chat(open_page(FakeService(script=script))))[-1]["aborted"] is True


def test_text_that_looks_like_a_frame_stays_one_string(open_page: Any) -> None:
    evil = 'a\r\n\r\ndata: {"done":true}\n\n\u2028\u2029\x00'
    script = [Admitted(MODEL, 1, 0, 50), TextDelta(evil), finished()]
    frames = frames_of(chat(open_page(FakeService(script=script))))
    assert frames[0] == {"token": evil}
    assert len(frames) == 2


def test_silence_is_filled_with_comments(open_page: Any) -> None:
    script = [Admitted(MODEL, 1, 0, 50), 0.2, TextDelta("x"), finished()]
    response = chat(open_page(FakeService(script=script), streams=StreamTimes(heartbeat_s=0.05)))
    assert response.text.startswith(": ")
    assert frames_of(response)[0] == {"token": "x"}


# ---- what becomes of a body ----


def asked(open_page: Any, **body: Any) -> Any:
    service = FakeService()
    assert chat(open_page(service), **body).status_code == 200
    return service.requests[0]


def test_defaults_are_the_published_ones(open_page: Any) -> None:
    request = asked(open_page)
    assert request.sampling == Sampling(max_tokens=20_000)
    assert (request.protocol, request.model, request.think) == ("webui", MODEL, False)
    assert (request.session_id, request.reset_session, request.cache_salt) == (None, False, "")
    assert request.messages == [Message("user", "hello big world")]


def test_every_sampling_field_arrives(open_page: Any) -> None:
    request = asked(
        open_page,
        maxTokens=5,
        temperature=0.5,
        topK=7,
        topP=0.9,
        minP=0.1,
        repetitionPenalty=1.2,
        presencePenalty=0.3,
        frequencyPenalty=-0.4,
        seed=42,
        stop=["END"],
    )
    assert request.sampling == Sampling(
        max_tokens=5,
        temperature=0.5,
        top_k=7,
        top_p=0.9,
        min_p=0.1,
        repeat_penalty=1.2,
        presence_penalty=0.3,
        frequency_penalty=-0.4,
        seed=42,
        stop=["END"],
    )


def test_snake_case_is_understood_and_camel_case_wins(open_page: Any) -> None:
    request = asked(
        open_page, top_k=3, top_p=0.5, min_p=0.2, repetition_penalty=1.5, maxTokens=9, max_tokens=1, topK=4
    )
    sampling = request.sampling
    assert (sampling.top_k, sampling.top_p, sampling.min_p) == (4, 0.5, 0.2)
    assert (sampling.repeat_penalty, sampling.max_tokens) == (1.5, 9)


def test_minus_one_means_no_limit_and_a_random_seed(open_page: Any) -> None:
    sampling = asked(open_page, maxTokens=-1, seed=-1).sampling
    assert (sampling.max_tokens, sampling.seed) == (None, None)


def test_null_is_the_same_as_absent(open_page: Any) -> None:
    names = (
        "maxTokens",
        "temperature",
        "topK",
        "stop",
        "tools",
        "think",
        "newChat",
        "model",
        "backend",
        "sessionId",
    )
    assert asked(open_page, **dict.fromkeys(names)).sampling == Sampling(max_tokens=20_000)


def test_tools_thinking_and_history_are_kept(open_page: Any) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    messages = [
        {"role": "User", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "",
            "thinking": "look it up",
            "tool_calls": [
                {"name": "weather", "arguments": {"city": "Paris"}, "id": "c1"},
                {"function": {"name": "time", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "c1", "tool_name": "weather"},
    ]
    service = FakeService()
    tools = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": schema}}]
    client = open_page(service)
    frames_of(client.post("/api/chat/webui", json={"messages": messages, "tools": tools, "think": True}))
    request = service.requests[0]
    assert request.think is True
    assert request.tools == [ToolDefinition("weather", "d", schema)]
    assert request.messages == [
        Message("user", "Weather?"),
        Message(
            "assistant",
            "",
            thinking="look it up",
            tool_calls=[ToolCall("weather", {"city": "Paris"}, "c1"), ToolCall("time", "{}")],
        ),
        Message("tool", "sunny", tool_call_id="c1", name="weather"),
    ]


def test_empty_content_is_a_message(open_page: Any) -> None:
    client = open_page()
    frames = frames_of(client.post("/api/chat", json={"messages": [{"role": "user", "content": ""}]}))
    assert frames[-1]["done"] is True


def test_unknown_fields_are_ignored(open_page: Any) -> None:
    assert asked(open_page, futureField={"a": 1}, sessionId=None).messages


# ---- sessions ----


def test_a_session_lives_from_post_to_delete(open_page: Any) -> None:
    service = FakeService()
    client = open_page(service)
    made = client.post("/api/sessions")
    assert made.status_code == 200
    session_id = made.json()["sessionId"]
    assert len(session_id) == 32
    assert made.json()["createdAt"].endswith("Z")
    frames = frames_of(chat(client, sessionId=session_id, newChat=True))
    assert frames[-1]["sessionId"] == session_id
    assert service.requests[0].session_id == session_id
    assert service.requests[0].reset_session is True
    deleted = client.delete(f"/api/sessions/{session_id}")
    assert (deleted.status_code, deleted.json()) == (200, {"ok": True, "sessionId": session_id})
    assert client.delete(f"/api/sessions/{session_id}").status_code == 404
    gone = chat(client, "/api/chat/webui", sessionId=session_id)
    assert gone.status_code == 404
    assert gone.json() == {"error": f"Session '{session_id}' not found or has been disposed"}


def test_the_default_session_cannot_be_deleted(open_page: Any) -> None:
    response = open_page().delete("/api/sessions/__default__")
    assert response.status_code == 400
    assert response.json()["ok"] is False


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fetc", "x" * 500, "%00", "a%20b"])
def test_an_unknown_session_is_404_in_the_sessions_shape(open_page: Any, name: str) -> None:
    response = open_page().delete(f"/api/sessions/{name}")
    assert response.status_code == 404
    assert response.json()["ok"] is False


def test_the_default_session_by_name_is_the_default(open_page: Any) -> None:
    assert asked(open_page, sessionId="__default__").session_id is None


def test_another_keys_session_does_not_exist(open_page: Any) -> None:
    service = FakeService()
    client = open_page(service, api_keys=("ada", "eve"))
    session_id = client.post("/api/sessions", headers={"x-api-key": "ada"}).json()["sessionId"]
    for response in (
        client.post(
            "/api/chat", json={"messages": HELLO, "sessionId": session_id}, headers={"x-api-key": "eve"}
        ),
        client.delete(f"/api/sessions/{session_id}", headers={"x-api-key": "eve"}),
    ):
        assert response.status_code == 404
    assert service.requests == []
    assert client.delete(f"/api/sessions/{session_id}", headers={"x-api-key": "ada"}).status_code == 200


# ---- refusals, in their order ----


@pytest.mark.parametrize(
    ("service", "body", "status", "text"),
    [
        ({"hosted": False}, {"model": "m", "sessionId": "gone"}, 400, "POST /api/models/load"),
        ({"hosted": False}, {"backend": "cpu", "sessionId": "gone"}, 400, "POST /api/models/load"),
        ({"hosted": False}, {"model": " ", "sessionId": "gone"}, 404, "Session 'gone' not found"),
        ({"hosted": False}, {"sessionId": ""}, 404, "Session '' not found"),
        ({"hosted": False}, {"sessionId": None}, 400, "No model loaded"),
        ({}, {"sessionId": None}, 400, "messages is required"),
        ({}, {"sessionId": None, "messages": None}, 400, "messages is required"),
        ({}, {"messages": "hi"}, 400, "field 'messages'"),
        ({}, {"messages": [5]}, 400, "field 'messages[0]'"),
        ({}, {"messages": [{"content": "hi"}]}, 400, "missing required field role"),
        ({}, {"messages": [{"role": "user"}]}, 400, "missing required field content"),
        ({}, {"messages": [{"role": "user", "content": None}]}, 400, "content"),
        ({}, {"messages": HELLO, "maxTokens": 0}, 400, "'maxTokens' is 0"),
        ({}, {"messages": HELLO, "maxTokens": -2}, 400, "'maxTokens'"),
        ({}, {"messages": HELLO, "maxTokens": 2**31}, 400, "'maxTokens'"),
        ({}, {"messages": HELLO, "maxTokens": "5"}, 400, "'maxTokens'"),
        ({}, {"messages": HELLO, "temperature": "hot"}, 400, "field 'temperature'"),
        ({}, {"messages": HELLO, "temperature": -1}, 400, "field 'temperature'"),
        ({}, {"messages": HELLO, "topK": -1}, 400, "field 'topK'"),
        ({}, {"messages": HELLO, "topP": 1.5}, 400, "field 'topP'"),
        ({}, {"messages": HELLO, "repetitionPenalty": 0}, 400, "field 'repetitionPenalty'"),
        ({}, {"messages": HELLO, "seed": 2**63}, 400, "seed"),
        ({}, {"messages": HELLO, "stop": "END"}, 400, "field 'stop'"),
        ({}, {"messages": HELLO, "stop": ["x"] * 17}, 400, "field 'stop'"),
        ({}, {"messages": HELLO, "stop": ["x" * 1025]}, 400, "field 'stop[0]'"),
        ({}, {"messages": HELLO, "think": "yes"}, 400, "field 'think'"),
        ({}, {"messages": HELLO, "tools": [{}]}, 400, "function"),
        ({}, {"messages": HELLO, "tools": [{"function": {"name": ""}}]}, 400, "name"),
        ({}, {"messages": HELLO, "tools": [{"function": {"name": "f"}}] * 129}, 400, "field 'tools'"),
        ({}, {"messages": HELLO * 4097}, 400, "field 'messages'"),
        ({}, {"messages": HELLO, "sessionId": 5}, 400, "field 'sessionId'"),
    ],
)
def test_each_refusal_has_its_place_and_text(
    open_page: Any, service: dict[str, Any], body: dict[str, Any], status: int, text: str
) -> None:
    fake = FakeService(**service)
    response = open_page(fake).post("/api/chat/webui", json=body)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert text in response.json()["error"]
    assert fake.requests == []


def test_what_the_engine_refuses_has_a_real_status(open_page: Any) -> None:
    service = FakeService(script=[ContextOverflow("the prompt has 9000 tokens, the context 4096")])
    response = chat(open_page(service), "/api/chat/webui")
    assert response.status_code == 400
    assert response.json() == {"error": "the prompt has 9000 tokens, the context 4096"}


# ---- files in a chat ----


def upload(client: Any, name: str, data: bytes, **headers: str) -> Any:
    return client.post("/api/upload", files={"file": (name, data)}, headers=headers)


def test_images_and_texts_reach_the_message(open_page: Any) -> None:
    service = FakeService()
    client = open_page(service)
    image = upload(client, "cat.png", b"png bytes").json()["path"]
    text = upload(client, "notes.txt", b"remember the milk").json()["path"]
    message = {"role": "user", "content": "look", "imagePaths": [image], "textFilePaths": [text]}
    frames_of(client.post("/api/chat", json={"messages": [message]}))
    sent = service.requests[0].messages[0]
    assert sent.images == [Image(b"png bytes")]
    assert sent.content == "look\n\nremember the milk"


def test_a_text_the_page_has_pasted_is_not_repeated(open_page: Any) -> None:
    service = FakeService()
    client = open_page(service)
    text = upload(client, "notes.txt", b"remember the milk").json()["path"]
    message = {"role": "user", "content": "File notes.txt:\nremember the milk", "textFilePaths": [text]}
    frames_of(client.post("/api/chat", json={"messages": [message]}))
    assert service.requests[0].messages[0].content == message["content"]


@pytest.mark.parametrize("field", ["imagePaths", "audioPaths", "textFilePaths"])
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/dev/zero", "../x", "upload:" + "0" * 33, "", "file:///etc/passwd"]
)
def test_a_path_is_never_opened(open_page: Any, field: str, path: str) -> None:
    service = FakeService()
    message = {"role": "user", "content": "x", field: [path]}
    response = open_page(service).post("/api/chat", json={"messages": [message]})
    assert response.status_code == 400
    assert "name files by the handle" in response.json()["error"]
    assert service.requests == []


def test_another_keys_upload_does_not_exist(open_page: Any) -> None:
    client = open_page(api_keys=("ada", "eve"))
    handle = upload(client, "cat.png", b"x", **{"x-api-key": "ada"}).json()["path"]
    message = {"role": "user", "content": "x", "imagePaths": [handle]}
    for key, status in (("eve", 404), ("ada", 200)):
        response = client.post("/api/chat", json={"messages": [message]}, headers={"x-api-key": key})
        assert response.status_code == status


def test_audio_and_video_are_refused_in_words(open_page: Any) -> None:
    client = open_page()
    audio = upload(client, "a.wav", b"x").json()["path"]
    for fields in ({"audioPaths": [audio]}, {"isVideo": True}):
        message = {"role": "user", "content": "x", **fields}
        response = client.post("/api/chat", json={"messages": [message]})
        assert response.status_code == 400
        assert "audio or video" in response.json()["error"]
