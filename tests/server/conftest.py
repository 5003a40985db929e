"""The rail with its smallest protocol mounted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

import jackfield.testing.plain_protocol
from jackfield.host import Host
from jackfield.server import ServerSettings, UploadLimits, build_app
from jackfield.server.app import RailApp
from jackfield.testing.service import FakeService

MakeApp = Callable[..., RailApp]
Open = Callable[..., TestClient[Any]]


@pytest.fixture
def make_app(tmp_path: Path) -> MakeApp:
    """Return a function from a service and settings to an application."""

    def make(service: FakeService | None = None, **settings: Any) -> RailApp:
        host = Host({"plain": jackfield.testing.plain_protocol}, installed=False)
        settings.setdefault("uploads", UploadLimits(directory=tmp_path / "uploads", free_disk_bytes=0))
        return build_app(ServerSettings(**settings), service or FakeService(), host)

    return make


@pytest.fixture
def open_client(make_app: MakeApp) -> Iterator[Open]:
    """Return a function like ``make_app`` that yields a client without a network between."""
    with ExitStack() as clients:

        def start(service: FakeService | None = None, **settings: Any) -> TestClient[Any]:
            names = (*settings.pop("allow_hosts", ()), "testserver.local")
            client = TestClient(
                make_app(service, allow_hosts=names, **settings), raise_server_exceptions=False
            )
            return clients.enter_context(client)

        yield start
