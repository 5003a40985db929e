"""What the machine can do at best is measured, not guessed."""

from __future__ import annotations

import pytest

from jackfield_backends.cpu import rates
from jackfield_backends.cpu.cache import ObjectCache


def test_reading_more_memory_and_multiplying_more_often_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops do all their work: none of it is optimised away."""
    monkeypatch.setattr(rates, "MEASURED_S", 0.05)
    monkeypatch.setattr(rates, "READ_BYTES", 64 << 20)
    monkeypatch.setattr(rates, "NUM_ROUNDS", 2000)
    found = rates.measure_rates(1, ObjectCache())
    assert 1e8 < found.read_bytes_per_s < 1e12
    assert 1e8 < found.int8_ops_per_s < 1e13
