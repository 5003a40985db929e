"""With a key set, nothing but three paths answers without it, whoever mounted the path."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from jackfield.host import Host
from jackfield.server import ServerSettings, UploadLimits, build_app
from jackfield.server.app import RailApp
from jackfield.testing.service import FakeService
from jackfield.testing.wire import connect, served

KEY = "sk-right-key"
PUBLIC = {"/", "/health"}
WRONG = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": "Bearer "},
    {"authorization": "Bearer wrong"},
    {"authorization": f"Bearer {KEY}x"},
    {"authorization": f"Bearer {KEY[:-1]}"},
    {"authorization": f"Basic {KEY}"},
    {"authorization": KEY},
    {"authorization": f"Bearer {KEY.upper()}"},
    {"x-api-key": ""},
    {"x-api-key": "wrong"},
    {"api-key": KEY},
    {"cookie": f"api_key={KEY}"},
]


def whole_app(tmp_path: Path, **settings: Any) -> RailApp:
    """Mount every installed protocol."""
    limits = UploadLimits(directory=tmp_path / "uploads", free_disk_bytes=0)
    chosen = ServerSettings(allow_hosts=("testserver.local",), uploads=limits, **settings)
    return build_app(chosen, FakeService(), Host())


def routes_of(app: RailApp) -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"\{[^}]*\}", "x", route.path_format))
        for route in app.routes
        for method in getattr(route, "methods", ())
    ]


def test_every_route_but_the_public_ones_needs_the_key(tmp_path: Path) -> None:
    app = whole_app(tmp_path, api_keys=("other", KEY))
    routes = routes_of(app)
    assert len(routes) > 40
    assert {path for _, path in routes} > PUBLIC
    with TestClient(app) as client:
        for method, path in routes:
            answers = [client.request(method, path, headers=headers).status_code for headers in WRONG]
            if path in PUBLIC or path.startswith("/static/"):
                assert 401 not in answers, path
            else:
                assert set(answers) == {401}, (method, path, answers)


def test_paths_that_only_look_public_need_the_key_as_well(tmp_path: Path) -> None:
    disguised = ("//health", "//", "/health/", "/health/x", "/health%2f", "/%68ealth/..", "/static", "/./")
    climbing = ("/static/../metrics", "/static/%2e%2e/metrics", "/static/..%2fmetrics", "/static/..")
    unknown = ("/nothing", "/metrics", "/v1/nothing", "/HEALTH", "/metrics?/health", "/metrics;/health")

    async def scenario() -> None:
        async with served(whole_app(tmp_path, api_keys=(KEY,))) as server:
            client = await connect(server.port)
            for path in (*disguised, *climbing, *unknown):
                assert (await client.ask("GET", path)).status == 401, path
            client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}]
)
def test_the_right_key_opens(tmp_path: Path, headers: dict[str, str]) -> None:
    with TestClient(whole_app(tmp_path, api_keys=("other", KEY))) as client:
        assert client.get("/api/models", headers=headers).status_code == 200
        assert client.get("/v1/models", headers=headers).status_code == 200


def test_a_key_in_the_query_is_no_key(tmp_path: Path) -> None:
    with TestClient(whole_app(tmp_path, api_keys=(KEY,))) as client:
        assert client.get(f"/api/models?api_key={KEY}&key={KEY}").status_code == 401


def test_the_refusal_has_the_shape_of_its_path(tmp_path: Path) -> None:
    with TestClient(whole_app(tmp_path, api_keys=(KEY,))) as client:
        openai = client.get("/v1/models")
        assert openai.json()["error"]["code"] == "invalid_api_key"
        assert openai.headers["www-authenticate"] == "Bearer"
        assert isinstance(client.get("/api/tags").json()["error"], str)
        assert client.get("/api/models").json()["ok"] is False


def test_any_key_opens_a_server_that_asks_for_none(tmp_path: Path) -> None:
    with TestClient(whole_app(tmp_path)) as client:
        assert client.get("/v1/models", headers={"authorization": "Bearer not-needed"}).status_code == 200


def test_requests_of_different_keys_have_different_owners(tmp_path: Path) -> None:
    app = whole_app(tmp_path, api_keys=("a", "b"))
    service = app.layers.rail.service
    assert isinstance(service, FakeService)
    with TestClient(app) as client:
        for key in ("a", "b", "a"):
            body = {"messages": [{"role": "user", "content": "hi"}]}
            client.post("/api/chat/webui", json=body, headers={"x-api-key": key})
    salts = [request.cache_salt for request in service.requests]
    assert salts[0] == salts[2] != salts[1]
    assert "a" not in salts[:1]
    assert all(len(salt) == 32 for salt in salts)
