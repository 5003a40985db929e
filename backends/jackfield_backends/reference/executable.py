"""A program, opened: run the ops in order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from jackfield.backend import CallTime, Limits, Step, StepTimes, WeightSource
from jackfield.program import Op, Program

from .inputs import StepInputs
from .lifetimes import last_reads
from .memory import SequenceMemory
from .vocabulary import references_of
from .weights import FloatWeights

__all__ = ["ReferenceExecutable"]

F32 = npt.NDArray[np.float32]


class ReferenceExecutable:
    """Satisfies ``jackfield.backend.Executable``."""

    def __init__(self, program: Program, weights: WeightSource, limits: Limits) -> None:
        self._program = program
        self._references = references_of(program)
        self._last_reads = last_reads(program)
        self._weights = FloatWeights(weights)
        self._memory = SequenceMemory(program, limits)
        self._hidden: F32 = np.empty((0, program.embedding_width), np.float32)

    def step(self, step: Step) -> F32:
        """Run every op and return the logits ``[R, V]``."""
        inputs = StepInputs(step, self._weights, self._memory)
        for _ in self._run(inputs):
            pass
        return self._logits(inputs)

    def time_step(self, step: Step) -> StepTimes:
        """Run every op and time each."""
        inputs = StepInputs(step, self._weights, self._memory)
        calls: list[CallTime] = []
        started_s = time.perf_counter()
        for op in self._run(inputs):
            seconds = time.perf_counter() - started_s
            calls.append(CallTime(type(op).__name__, (op,), op.weights, seconds))
            started_s = time.perf_counter()
        return StepTimes(self._logits(inputs), calls, 0.0)

    def _run(self, inputs: StepInputs) -> Iterator[Op]:
        """Run the ops, and yield each when it is done."""
        for number, (op, reference) in enumerate(zip(self._program.ops, self._references, strict=True)):
            reference(op, inputs)
            inputs.release(self._last_reads.get(number, ()))
            yield op

    def _logits(self, inputs: StepInputs) -> F32:
        self._hidden = inputs.read(self._program.hidden)
        return inputs.read(self._program.logits)

    def hidden(self) -> F32:
        """Return the last step's hidden rows ``[R, D]``."""
        return self._hidden

    def copy_page(self, source: int, target: int) -> None:
        """Copy one page of every cache."""
        self._memory.copy_page(source, target)

    def clear_state(self, slot: int) -> None:
        """Zero a slot."""
        self._memory.clear_state(slot)

    def copy_state(self, source: int, target: int) -> None:
        """Copy a slot."""
        self._memory.copy_state(source, target)

    def describe(self) -> Mapping[str, str]:
        """Return what it computes with."""
        return {"numpy": np.__version__, "arithmetic": "float32", "kv": "f32"}

    def close(self) -> None:
        """Do nothing: memory goes with the object."""
