"""Fixtures that several areas share."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

# numpy's threads spin on matrices this small: on busy cores the tests take three times as long with them
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def no_certificates() -> Iterator[None]:
    """Read no certificates: no test speaks TLS, but every HTTP client would read them all, for 30 ms each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
        yield


@pytest.fixture(scope="session")
def oracles() -> Path:
    """Return the folder of reference data beside the checkout; skip where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "oracles"
    if not folder.is_dir():
        pytest.skip(f"the reference data is not there: {folder}")
    return folder
