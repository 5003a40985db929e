"""A web page of somebody else cannot use this server, by name or by script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jackfield.errors import ConfigError
from jackfield.server import ServerSettings
from jackfield.server.app import RailApp
from jackfield.testing.service import FakeService
from jackfield.testing.wire import connect, served

MakeApp = Callable[..., RailApp]
GENERATE = {"prompt": "hi", "stream": False}

OWN_HOSTS = [
    "localhost",
    "LOCALHOST",
    "localhost:5000",
    "localhost:1",
    "localhost:65535",
    "127.0.0.1",
    "127.0.0.1:8080",
    "[::1]",
    "[::1]:5000",
    "Studio.Example:5000",
]
FOREIGN_HOSTS = [
    "evil.com",
    "evil.com:5000",
    "localhost.evil.com",
    "evil-localhost",
    "localhost.",
    "127.0.0.1.evil.com",
    "127.0.0.1.nip.io",
    "127x0x0x1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "127.0.0.2",
    "0.0.0.0",
    "[::ffff:127.0.0.1]",
    "[::2]:5000",
    "192.168.1.5:5000",
    "studio.example.evil.com",
]
MALFORMED_HOSTS = [
    "",
    ":5000",
    "localhost:",
    "localhost:0",
    "localhost:65536",
    "localhost:99999",
    "localhost:5000:5000",
    "localhost:five",
    "user@localhost",
    "localhost@evil.com",
    "http://localhost",
    "localhost/path",
    "localhost, evil.com",
    "[::1",
    "::1",
    "[localhost]",
]


async def ask_as(port: int, host: str) -> int:
    client = await connect(port)
    answer = await client.ask("POST", "/plain/generate", GENERATE, {"host": host})
    client.close()
    return answer.status


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_only_exact_names_are_answered_on_any_bind(make_app: MakeApp, bound: str) -> None:
    async def scenario() -> None:
        service = FakeService()
        app = make_app(service, host=bound, insecure=True, allow_hosts=("studio.example",))
        async with served(app) as server:
            for host in OWN_HOSTS:
                assert await ask_as(server.port, host) == 200, host
            num_served = len(service.requests)
            for host in FOREIGN_HOSTS:
                assert await ask_as(server.port, host) == 403, host
            for host in MALFORMED_HOSTS:
                assert await ask_as(server.port, host) == 400, host
            assert len(service.requests) == num_served

    asyncio.run(scenario())


def test_the_bound_name_is_one_of_the_servers_own(open_client: Any) -> None:
    client = open_client(host="10.0.0.7", insecure=True)
    assert client.get("/health", headers={"host": "10.0.0.7:5000"}).status_code == 200
    assert client.get("/health", headers={"host": "10.0.0.8:5000"}).status_code == 403


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.0\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\n\r\n",
        b"GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.com/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_a_request_without_one_plain_host_and_path_is_refused(make_app: MakeApp, head: bytes) -> None:
    async def scenario() -> None:
        async with served(make_app()) as server:
            client = await connect(server.port)
            client.writer.write(head)
            status, headers = await client.head()
            assert status == 400
            assert headers["content-type"] == "application/json"
            client.close()

    asyncio.run(scenario())


def test_forwarded_headers_change_nothing(open_client: Any) -> None:
    client = open_client()
    for name in ("x-forwarded-host", "forwarded", "x-original-host", "x-host"):
        assert client.get("/health", headers={name: "evil.com"}).status_code == 200
        refused = client.get("/health", headers={name: "localhost", "host": "evil.com"})
        assert refused.status_code == 403


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.com"},
        {"origin": "null"},
        {"origin": "http://testserver.local:81"},
        {"origin": "http://testserver.local.evil.com"},
        {"origin": "file://"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    ],
)
def test_a_foreign_page_starts_no_work(open_client: Any, content_type: str, headers: dict[str, str]) -> None:
    service = FakeService()
    response = open_client(service).post(
        "/plain/generate", content=b'{"prompt":"hi"}', headers={"content-type": content_type, **headers}
    )
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    assert service.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://testserver.local"},
        {"origin": "https://testserver.local"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_own_pages_and_command_line_tools_are_served(open_client: Any, headers: dict[str, str]) -> None:
    response = open_client().post(
        "/plain/generate", content=b'{"prompt":"hi"}', headers={"content-type": "text/plain", **headers}
    )
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


def test_a_link_from_another_site_may_open_a_page_but_an_image_tag_may_not(open_client: Any) -> None:
    client = open_client()
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    image = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    frame = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    assert client.get("/health", headers=link).status_code == 200
    assert client.get("/health", headers=image).status_code == 403
    assert client.get("/health", headers=frame).status_code == 403


def test_a_named_origin_may_read_without_credentials(open_client: Any) -> None:
    client = open_client(cors_origins=("https://studio.example",))
    headers = {"origin": "https://studio.example"}
    response = client.post("/plain/generate", json=GENERATE, headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://studio.example"
    assert "origin" in response.headers["vary"].lower()
    assert "access-control-allow-credentials" not in response.headers
    assert (
        client.post("/plain/generate", json=GENERATE, headers={"origin": "https://studio.exampl"}).status_code
        == 403
    )


def test_preflights_are_answered_for_named_origins_only(open_client: Any) -> None:
    client = open_client(cors_origins=("https://studio.example",), api_keys=("k",))
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,authorization",
    }
    allowed = client.options("/plain/generate", headers={"origin": "https://studio.example", **asked})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "https://studio.example"
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-private-network" not in allowed.headers
    refused = client.options("/plain/generate", headers={"origin": "https://evil.com", **asked})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


def test_every_origin_is_named_back_when_the_operator_says_so(open_client: Any) -> None:
    client = open_client(cors_origins=("*",))
    response = client.get("/health", headers={"origin": "https://anywhere.example"})
    assert response.headers["access-control-allow-origin"] == "https://anywhere.example"
    assert client.get("/health", headers={"origin": "null"}).status_code == 403


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"host": "0.0.0.0"}, "opens the server to the network without a key"),
        ({"host": "::"}, "without a key"),
        ({"host": "192.168.1.5"}, "without a key"),
        ({"cors_origins": ("*",), "api_keys": ("k",)}, r"CORS origin '\*' together with an API key"),
        ({"cors_origins": ("evil.com",)}, "is not of the form 'https://name:port'"),
        ({"api_keys": ("",)}, "an API key is empty"),
        ({"api_keys": ("schlüssel",)}, "use printable ASCII"),
        ({"port": 70000}, "port 70000 does not exist"),
        ({"port": 11434, "extra_ports": (11434,)}, "port 11434 is named twice"),
        ({"drain_s": -1.0}, "drain_s is -1.0, expected at least 0"),
        ({"drain_s": float("nan")}, "drain_s is nan"),
        ({"allow_hosts": ("http://box",)}, "allowed host 'http://box' is no name"),
        ({"allow_hosts": ("box:5000",)}, "without scheme and port"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        ServerSettings(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0", "api_keys": ("k",)},
        {"host": "0.0.0.0", "insecure": True},
        {"host": "::1", "allow_hosts": ("box.local", "fe80::1", "[fe80::1]", "10.0.0.1")},
        {"host": "localhost", "port": 0, "extra_ports": (0,)},
    ],
)
def test_settings_that_can_be_meant_are_taken(settings: dict[str, Any]) -> None:
    assert ServerSettings(**settings).host == settings["host"]
