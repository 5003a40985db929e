"""Fixtures that several areas share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def oracles() -> Path:
    """Return the folder of reference data beside the checkout; skip where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "oracles"
    if not folder.is_dir():
        pytest.skip(f"the reference data is not there: {folder}")
    return folder
