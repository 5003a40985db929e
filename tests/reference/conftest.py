"""Ops one at a time: a program of one op, opened on the reference backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.program import Weight
from jackfield.testing.table_program import LIMITS, Body, Span, TableSteps, table_program
from jackfield_backends.reference.backend import ReferenceBackend
from jackfield_backends.reference.executable import ReferenceExecutable

F32 = npt.NDArray[np.float32]


class Bench:
    """Run a program on rows of its table."""

    def __init__(self, inputs: Mapping[str, F32], weights: Mapping[str, F32], body: Body) -> None:
        program, tensors = table_program(inputs, weights, body)
        self.executable: ReferenceExecutable = ReferenceBackend().open(program, tensors, LIMITS)
        self._steps = TableSteps()

    def step(self, *spans: Span, **more: Any) -> F32:
        """Run a step, as ``TableSteps`` makes it."""
        return self.executable.step(self._steps.make(*spans, **more)).copy()


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def bench() -> type[Bench]:
    return Bench


@pytest.fixture
def weight() -> Callable[..., Weight]:
    return Weight
