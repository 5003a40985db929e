"""The web UI beside the Ollama protocol, which shares its chat path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from jackfield.host import Host
from jackfield.server import ServerSettings, UploadLimits, build_app
from jackfield.testing.service import FakeService

Open = Callable[..., TestClient[Any]]


@pytest.fixture
def open_page(tmp_path: Path) -> Iterator[Open]:
    """Return a function from a service to a client without a network between."""
    with ExitStack() as clients:

        def start(service: FakeService | None = None, **settings: Any) -> TestClient[Any]:
            settings.setdefault("uploads", UploadLimits(directory=tmp_path / "up", free_disk_bytes=0))
            chosen = ServerSettings(allow_hosts=("testserver.local",), **settings)
            host = Host(allow=["webui", "ollama", "null", "reference"])
            app = build_app(chosen, service or FakeService(), host)
            return clients.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start
