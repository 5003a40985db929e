"""How many threads a step is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jackfield.backend import Step
from jackfield_backends.cpu.effort import Effort

SMALL = Effort(weight_bytes=3e5, products=3e5, products_seen=1e3, num_calls=60)
NONE = np.zeros(0, np.int32)


@pytest.fixture
def every_thread() -> None:
    """Leave the measure as it is."""


def step_of(rows: int, position: int) -> Step:
    positions = np.full(rows, position, np.int32)
    return Step(positions, positions, NONE, NONE.reshape(0, 0), NONE, NONE)


@pytest.mark.parametrize(
    ("effort", "rows", "position", "expected"),
    [
        (SMALL, 1, 0, 1),
        (SMALL, 512, 0, 8),
        (SMALL, 1, 30_000, 8),
        (replace(SMALL, weight_bytes=6e8), 1, 0, 8),
        (replace(SMALL, weight_bytes=6e8), 1, 10, 8),
        (replace(SMALL, weight_bytes=2e6, num_calls=400), 1, 0, 1),
    ],
)
def test_a_step_of_calls_shorter_than_barriers_runs_on_one_thread(effort, rows, position, expected) -> None:
    assert effort.num_threads(step_of(rows, position), 8) == expected


def test_a_step_is_never_given_more_threads_than_there_are() -> None:
    assert SMALL.num_threads(step_of(512, 0), 1) == 1
