"""Every refusal has the status and the shape of its path, and tells nothing about the machine."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

import jackfield.testing.plain_protocol
from jackfield.descriptors import ProtocolDescriptor
from jackfield.errors import (
    BackendError,
    BackendUnavailable,
    CapacityError,
    CheckpointError,
    ConfigError,
    ContextOverflow,
    DuplicateName,
    Forbidden,
    InvalidOutput,
    JackfieldError,
    NotFound,
    NumericalError,
    OutOfMemory,
    PluginError,
    QueueFull,
    RateLimited,
    RequestError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from jackfield.hooks import hookimpl
from jackfield.host import Host
from jackfield.server import ErrorSurface, HttpRefusal, ServerSettings, build_app
from jackfield.server.errors import ErrorSurfaces
from jackfield.testing.service import FakeService

STATUSES = [
    (RequestError, 400),
    (ContextOverflow, 400),
    (Unsupported, 400),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (TooLarge, 413),
    (InvalidOutput, 422),
    (RateLimited, 429),
    (CapacityError, 503),
    (QueueFull, 503),
    (Unavailable, 503),
    (BackendUnavailable, 503),
    (OutOfMemory, 503),
    (BackendError, 500),
    (NumericalError, 500),
    (CheckpointError, 500),
    (ConfigError, 500),
    (JackfieldError, 500),
]


@pytest.mark.parametrize(("kind", "status"), STATUSES)
def test_each_class_of_the_tree_has_its_status(
    open_client: Any, kind: type[JackfieldError], status: int
) -> None:
    for is_stream in (True, False):
        response = open_client(FakeService(script=[kind("it went wrong")])).post(
            "/plain/generate", json={"prompt": "x", "stream": is_stream}
        )
        assert response.status_code == status
        assert response.json() == {"plain": [status, "it went wrong"]}
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-request-id"]


@pytest.mark.parametrize(("retry_after_s", "sent"), [(None, "1"), (7, "7"), (0, "1"), (3600, "60")])
@pytest.mark.parametrize("kind", [QueueFull, RateLimited])
def test_capacity_errors_say_when_to_come_back(
    open_client: Any, kind: type[JackfieldError], retry_after_s: int | None, sent: str
) -> None:
    service = FakeService(script=[kind("later", retry_after_s=retry_after_s)])
    assert open_client(service).post("/plain/generate", json={"prompt": "x"}).headers["retry-after"] == sent


def test_a_surface_may_differ_from_the_common_table() -> None:
    surfaces = ErrorSurfaces(
        [
            ErrorSurface(prefixes=("/a",), body=lambda e, s: {"a": s}, statuses={RequestError: 409}),
            ErrorSurface(prefixes=("/a/b",), body=lambda e, s: {"b": s}),
        ]
    )
    assert surfaces.render("/a/x", ContextOverflow("long")).status == 409
    assert surfaces.render("/a/x", NotFound("no")).status == 404
    assert surfaces.render("/a/b/c", NotFound("no")).body == b'{"b":404}'
    assert surfaces.render("/ab", NotFound("no")).body == b'{"error":"no"}'
    assert surfaces.render("/a", HttpRefusal(415, "no")).status == 415


def test_two_surfaces_of_one_prefix_are_refused() -> None:
    surface = ErrorSurface(prefixes=("/a",), body=lambda e, s: {})
    with pytest.raises(DuplicateName, match="two protocols shape the errors of '/a'"):
        ErrorSurfaces([surface, surface])


def test_wrong_paths_and_methods_speak_the_dialect_of_their_prefix(open_client: Any) -> None:
    client = open_client()
    assert client.get("/plain/nothing").json() == {"plain": [404, "nothing is served at this path"]}
    wrong_method = client.get("/plain/generate")
    assert wrong_method.status_code == 405
    assert "POST" in wrong_method.headers["allow"]
    assert wrong_method.json()["plain"][0] == 405
    assert client.get("/elsewhere").json() == {"error": "nothing is served at this path"}


def test_head_is_answered_wherever_get_is(open_client: Any) -> None:
    client = open_client()
    assert client.head("/health").status_code == 200
    assert client.head("/health").content == b""
    assert client.head("/plain/generate").status_code == 405


SECRETS = [
    CheckpointError("cannot read '/home/ada/models/secret.gguf' at offset 5"),
    BackendError("kernel at 0x7f3a12bc9d00 in /usr/lib/python3.11/site-packages/numba/core.py failed"),
    JackfieldError("see C:\\Users\\ada\\models\\secret.gguf", details=["/tmp/x/y.log"]),
    RuntimeError("/home/ada/.ssh/id_rsa"),
    KeyError("object at 0x7f3a12bc9d00"),
    RecursionError("maximum recursion depth exceeded"),
]


@pytest.mark.parametrize("error", SECRETS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("is_stream", [True, False])
def test_no_error_text_names_a_folder_an_address_or_a_traceback(
    open_client: Any, error: Exception, is_stream: bool
) -> None:
    response = open_client(FakeService(script=[error])).post(
        "/plain/generate", json={"prompt": "x", "stream": is_stream}
    )
    assert response.status_code == 500
    assert not re.search(
        r"/home|/root|/tmp|/usr|Users|0x[0-9a-f]{6}|Traceback|site-packages|\.ssh", response.text
    )


def test_the_file_name_itself_may_be_told(open_client: Any) -> None:
    service = FakeService(script=[CheckpointError("cannot read '/home/ada/models/tiny.gguf' at offset 5")])
    response = open_client(service).post("/plain/generate", json={"prompt": "x"})
    assert response.json() == {"plain": [500, "cannot read 'tiny.gguf' at offset 5"]}


def test_an_unexpected_exception_is_logged_under_the_id_the_client_gets(
    open_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    response = open_client(FakeService(script=[RuntimeError("the cause")])).post(
        "/plain/generate", json={"prompt": "x"}, headers={"x-request-id": "trace-7"}
    )
    assert "under id trace-7" in response.json()["plain"][1]
    assert "the cause" in caplog.text


@pytest.mark.parametrize("name", ["x-request-id", "x-tensorsharp-request-id"])
def test_a_clean_request_id_is_echoed_in_both_headers(open_client: Any, name: str) -> None:
    headers = open_client().get("/health", headers={name: "Abc.1_2-3"}).headers
    assert headers["x-request-id"] == headers["x-tensorsharp-request-id"] == "Abc.1_2-3"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "a;b", "<script>", "ä", "a/b"])
def test_any_other_request_id_is_replaced(open_client: Any, sent: str) -> None:
    response = open_client().get("/health", headers={"x-request-id": sent.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{12}", response.headers["x-request-id"])


def test_two_requests_of_one_id_stay_apart_in_the_engine(open_client: Any) -> None:
    service = FakeService()
    client = open_client(service)
    for _ in range(2):
        client.post("/plain/generate", json={"prompt": "x"}, headers={"x-request-id": "y" * 64})
    first, second = (request.id for request in service.requests)
    assert first != second
    for request_id in (first, second):
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", request_id)


def test_a_websocket_is_turned_away(open_client: Any) -> None:
    from litestar.exceptions import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), open_client().websocket_connect("/plain/generate"):
        pass


class Late:
    @hookimpl
    def jackfield_protocols(self) -> list[ProtocolDescriptor]:
        return [ProtocolDescriptor(name="late", summary="", factory=f"{__name__}:mount_late")]


LATE = Late()


def mount_late(rail: object) -> None:
    raise RuntimeError("not today")


def test_a_protocol_that_cannot_be_mounted_is_left_out_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed = EntryPoints([EntryPoint("late", f"{__name__}:LATE", "jackfield")])
    monkeypatch.setattr("jackfield.plugins.entry_points", lambda group: installed)
    monkeypatch.delenv("JACKFIELD_PLUGINS", raising=False)
    given = {"plain": jackfield.testing.plain_protocol}
    app = build_app(ServerSettings(), FakeService(), Host(given))
    assert "/plain/generate" in {route.path for route in app.routes}
    assert "plugin 'late' (- -) failed and is left out" in caplog.text
    with pytest.raises(PluginError, match=r"mount_late' of 'late' failed: RuntimeError: not today"):
        build_app(ServerSettings(), FakeService(), Host(given, allow=["late"]))
