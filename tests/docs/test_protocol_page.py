"""The protocol of the page is whole: as it stands there, it mounts, answers, streams and refuses."""

from __future__ import annotations

import importlib
import re
import sys
import types
from pathlib import Path

import pytest
from litestar.testing import TestClient

from jackfield.host import Host
from jackfield.server import ServerSettings, build_app
from jackfield.testing.service import FakeService

PAGE = Path(__file__).parents[2] / "docs" / "write-a-protocol.md"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    text = PAGE.read_text(encoding="utf-8")
    [source] = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "my_protocol.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_protocol", raising=False)
    return importlib.import_module("my_protocol")


def test_the_protocol_of_the_page_answers_streams_and_refuses(module: types.ModuleType) -> None:
    settings = ServerSettings(allow_hosts=("testserver.local",))
    app = build_app(settings, FakeService(), Host({"mine": module}, installed=False))
    asked = {"model": "echo-tiny", "say": "one two"}
    with TestClient(app) as client:
        assert client.post("/mine/generate", json=asked).json() == {"said": "one two"}
        streamed = client.post("/mine/generate", json={**asked, "stream": True})
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.text.endswith('data: {"end":"stop"}\n\n')
        refused = client.post("/mine/generate", json={"model": "another", "say": "x"})
        assert (refused.status_code, refused.json()) == (404, {"wrong": "model 'another' not found"})
