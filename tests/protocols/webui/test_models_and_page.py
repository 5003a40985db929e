"""Models, uploads, the queue, and the page itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import jackfield_protocols.webui as webui
from jackfield.errors import BackendUnavailable, CheckpointError, NotFound, OutOfMemory, Unavailable
from jackfield.testing.service import FakeService, make_model

STATIC = Path(webui.__file__).parent / "static"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


# ---- models ----


def test_models_describe_what_is_loaded(open_page: Any) -> None:
    service = FakeService(models=["other.gguf", "mmproj-tiny.gguf"])
    body = open_page(service).get("/api/models").json()
    assert body["models"] == ["echo-tiny.gguf", "other.gguf"]
    assert body["mmProjModels"] == ["mmproj-tiny.gguf"]
    assert (body["loaded"], body["architecture"]) == ("echo-tiny.gguf", "qwen3")
    assert (body["loadedBackend"], body["defaultBackend"]) == ("null", "null")
    assert body["hostedModelPath"] == "echo-tiny.gguf"
    assert (body["loadedMmProj"], body["hostedMmProjPath"]) == (None, None)
    assert body["defaultMaxTokens"] == 20_000
    assert {"null", "reference"} <= {backend["value"] for backend in body["supportedBackends"]}
    assert all(backend["label"] for backend in body["supportedBackends"])


def test_models_without_a_model_are_null(open_page: Any) -> None:
    body = open_page(FakeService(hosted=False), default_backend="reference").get("/api/models").json()
    assert body["loaded"] is body["architecture"] is body["loadedBackend"] is None
    assert body["defaultBackend"] == "reference"


@pytest.mark.parametrize("name", ["other.gguf", "OTHER.GGUF", "other", " Other "])
def test_a_model_is_loaded_by_any_of_its_spellings(open_page: Any, name: str) -> None:
    service = FakeService(models=["other.gguf"])
    client = open_page(service)
    response = client.post("/api/models/load", json={"model": name, "backend": "null", "mmproj": "none"})
    assert response.status_code == 200
    assert response.json() == {
        "ok": True,
        "model": "other.gguf",
        "loadedMmProj": None,
        "architecture": "qwen3",
    }
    assert client.get("/api/models").json()["loaded"] == "other.gguf"


def test_what_models_reports_as_loaded_can_be_loaded_again(open_page: Any) -> None:
    client = open_page()
    models = client.get("/api/models").json()
    body = {"model": models["loaded"], "backend": models["loadedBackend"]}
    assert client.post("/api/models/load", json=body).json()["ok"] is True


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            {"backend": "cdua", "model": "nothing", "mmproj": "nothing"},
            "backend 'cdua' is not supported; choose one of",
        ),
        ({"model": "nothing", "mmproj": "nothing"}, "model 'nothing' is not hosted here"),
        ({"model": "echo-tiny", "mmproj": "nothing"}, "mmproj 'nothing' is not hosted here"),
        ({}, "model is required"),
        ({"model": " "}, "model is required"),
        ({"model": None}, "model is required"),
        ({"model": 5}, "field 'model'"),
        ({"model": "/etc/passwd"}, "is not hosted here"),
        ({"model": "../echo-tiny.gguf"}, "is not hosted here"),
    ],
)
def test_loading_is_checked_in_order(open_page: Any, body: dict[str, Any], text: str) -> None:
    response = open_page().post("/api/models/load", json=body)
    assert response.status_code == 400
    assert response.json()["ok"] is False
    assert text in response.json()["error"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CheckpointError("tensor 'x' is cut off"), 500),
        (OutOfMemory("needs 9 GiB, has 2 GiB"), 500),
        (BackendUnavailable("no GPU here"), 500),
        (NotFound("gone"), 400),
        (Unavailable("shutting down"), 503),
    ],
)
def test_a_load_that_fails_keeps_the_shape(open_page: Any, error: Any, status: int) -> None:
    response = open_page(FakeService(load_error=error)).post("/api/models/load", json={"model": "echo-tiny"})
    assert response.status_code == status
    assert response.json() == {"ok": False, "error": str(error)}


def test_the_queue_is_told_in_three_numbers(open_page: Any) -> None:
    service = FakeService()
    client = open_page(service)
    assert client.get("/api/queue/status").json() == {
        "busy": False,
        "pending_requests": 0,
        "total_processed": 0,
    }
    service.num_running, service.num_waiting, service.num_processed = 1, 3, 7
    assert client.get("/api/queue/status").json() == {
        "busy": True,
        "pending_requests": 3,
        "total_processed": 7,
    }


# ---- uploads ----


def upload(client: Any, name: str, data: bytes) -> Any:
    return client.post("/api/upload", files={"anything": (name, data)})


def test_an_upload_is_answered_with_a_handle_and_no_path(open_page: Any) -> None:
    response = upload(open_page(), "../../cat.PNG", b"png bytes")
    assert response.status_code == 200
    handle = response.json()["path"]
    assert re.fullmatch(r"upload:[0-9a-f]{32}", handle)
    assert response.json() == {"ok": True, "path": handle, "mediaType": "image", "fileName": "cat.PNG"}
    assert not re.search(r"/home|/root|/tmp|/var", response.text)


def test_a_video_upload_has_empty_frame_lists(open_page: Any) -> None:
    body = upload(open_page(), "a.mp4", b"x").json()
    assert (body["mediaType"], body["frames"], body["framePaths"]) == ("video", [], [])


def test_a_short_text_comes_back_whole(open_page: Any) -> None:
    body = upload(open_page(), "a.txt", "\ufeffgrüße".encode()).json()
    assert body["textContent"] == "grüße"
    assert (body["truncated"], body["truncateLimit"], body["truncateUnit"]) == (False, 2048, "tokens")
    assert body["modelContextLimit"] == 4096
    assert body["originalTokenCount"] == body["returnedTokenCount"] == len("grüße".encode())


def test_a_long_text_is_cut_at_half_the_context_and_says_so(open_page: Any) -> None:
    body = upload(open_page(), "a.txt", b"x" * 5000).json()
    assert body["textContent"] == "x" * 2048
    assert body["truncated"] is True
    assert (body["originalTokenCount"], body["returnedTokenCount"]) == (5000, 2048)


def test_a_text_far_too_long_is_not_counted(open_page: Any) -> None:
    body = upload(open_page(), "a.txt", b"x" * 500_000).json()
    assert body["truncated"] is True
    assert (body["originalTokenCount"], body["returnedTokenCount"]) == (None, 2048)


def test_without_a_model_texts_are_cut_by_characters(open_page: Any) -> None:
    body = upload(open_page(FakeService(hosted=False)), "a.txt", b"x" * 9000).json()
    assert (body["textContent"], body["truncated"]) == ("x" * 8000, True)
    assert (body["truncateLimit"], body["truncateUnit"]) == (8000, "characters")
    assert body["modelContextLimit"] is body["originalTokenCount"] is body["returnedTokenCount"] is None


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"", b"\xc3", b"\x00" * 100])
def test_a_text_that_is_none_is_still_answered(open_page: Any, data: bytes) -> None:
    assert upload(open_page(), "a.txt", data).status_code == 200


def parts(boundary: str, *bodies: str) -> bytes:
    pieces = [f"--{boundary}\r\n{body}\r\n" for body in bodies]
    return "".join([*pieces, f"--{boundary}--\r\n"]).encode()


FIELD = 'Content-Disposition: form-data; name="a"\r\n\r\nb'
FILE = 'Content-Disposition: form-data; name="a"; filename="a.png"\r\n\r\nb'
MULTIPART = "multipart/form-data; boundary=B"


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("application/json", b"{}", "Expected multipart form data"),
        ("", b"", "Expected multipart form data"),
        (MULTIPART, parts("B"), "No file uploaded"),
        (MULTIPART, parts("B", FIELD), "No file uploaded"),
        (MULTIPART, b"", None),
        (MULTIPART, b"rubbish", None),
        (MULTIPART, parts("B", FILE)[:-10], None),
        (MULTIPART, parts("C", FILE), None),
        ("multipart/form-data", parts("B", FILE), None),
        ("multipart/form-data; boundary=", parts("", FILE), None),
        (f"multipart/form-data; boundary={'B' * 10_000}", parts("B" * 9_999, FILE), None),
        (MULTIPART, parts("B", *[FIELD] * 1001), None),
        (MULTIPART, parts("B", FIELD.replace("\r\n\r\n", f"\r\nX: {'y' * 1_000_000}\r\n\r\n")), None),
        (MULTIPART, parts("B", "no headers at all"), None),
    ],
)
def test_a_broken_form_is_the_clients_mistake(
    open_page: Any, tmp_path: Path, content_type: str, body: bytes, text: str | None
) -> None:
    response = open_page().post("/api/upload", content=body, headers={"content-type": content_type})
    assert 400 <= response.status_code < 500, response.text
    assert list(response.json()) == ["error"]
    if text is not None:
        assert (response.status_code, response.json()["error"]) == (400, text)
    assert [entry.name for entry in tmp_path.glob("up/process-*/*") if entry.name != "lock"] == []


def test_an_uploaded_page_can_never_be_opened(open_page: Any) -> None:
    client = open_page()
    handle = upload(client, "evil.html", b"<script>alert(1)</script>").json()["path"].removeprefix("upload:")
    for path in (
        f"/uploads/{handle}",
        f"/uploads/{handle}.html",
        f"/static/{handle}",
        f"/api/upload/{handle}",
    ):
        response = client.get(path, headers=BROWSER)
        assert b"alert(1)" not in response.content
    assert client.get(f"/static/{handle}").status_code == 404


# ---- the page ----


def test_a_browser_gets_the_page_and_a_client_the_words_it_looks_for(open_page: Any) -> None:
    client = open_page()
    page = client.get("/", headers=BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    for headers in ({}, {"accept": "*/*"}, {"accept": "application/json"}):
        words = client.get("/", headers=headers)
        assert words.text == "Ollama is running"
        assert words.headers["content-type"].startswith("text/plain")
    assert client.head("/").status_code == 200


def test_the_page_may_load_nothing_from_elsewhere(open_page: Any) -> None:
    headers = open_page().get("/", headers=BROWSER).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_every_file_the_page_names_is_served_with_its_type(open_page: Any) -> None:
    client = open_page()
    html = client.get("/", headers=BROWSER).text
    named = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', html))
    for script in STATIC.glob("*.js"):
        named |= {f"/static/{name}" for name in re.findall(r'from "\./([^"]+)"', script.read_text())}
    assert len(named) >= 5
    for path in named:
        response = client.get(path)
        assert response.status_code == 200, path
        assert response.headers["x-content-type-options"] == "nosniff"
        again = client.get(path, headers={"if-none-match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["nothing.js", "%2e%2e", "..%2f__init__.py", "index.html%00", "page.js/x", ""]
)
def test_no_other_file_is_served(open_page: Any, name: str) -> None:
    assert open_page().get(f"/static/{name}").status_code == 404


def test_unknown_paths_show_the_page_to_browsers_only(open_page: Any) -> None:
    client = open_page()
    assert client.get("/some/chat", headers=BROWSER).text.startswith("<!doctype html>")
    assert client.get("/some/chat").status_code == 404
    assert client.get("/api/nothing", headers=BROWSER).status_code == 404
    assert client.get("/v1/nothing", headers=BROWSER).status_code == 404
    assert client.post("/some/chat", headers=BROWSER).status_code in (404, 405)


def test_model_text_has_no_way_into_markup() -> None:
    """The page's scripts build nodes; nothing turns a string into HTML or code."""
    for script in STATIC.glob("*.js"):
        source = script.read_text()
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert word not in source, (script.name, word)
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"\son\w+=|style=|<script>|javascript:", html)


def test_the_page_depends_on_nothing() -> None:
    for file in STATIC.iterdir():
        addresses = re.findall(r"https?://[^\s\"')|\\\]]+", file.read_text())
        assert all(address.startswith("http://www.w3.org/") for address in addresses), file.name


def test_other_models_keep_their_names(open_page: Any) -> None:
    service = FakeService(make_model("Qwen3-4B-Q8_0.gguf"))
    assert open_page(service).get("/api/models").json()["loaded"] == "Qwen3-4B-Q8_0.gguf"
