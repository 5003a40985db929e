"""One step as the ops see it: ``jackfield.program.Inputs`` over dictionaries of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield.backend import Step
from jackfield.errors import ProgramError
from jackfield.program import Buffer, ConvState, Element, KvCache, RecurrentState, Rows, Weight

from .memory import SequenceMemory
from .weights import FloatWeights

__all__ = ["StepInputs"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
TYPES: Mapping[Element, type[np.generic]] = {Element.F32: np.float32, Element.I32: np.int32}


class StepInputs:
    """Hold a step's buffers; ``weights`` and ``memory`` outlive it."""

    def __init__(self, step: Step, weights: FloatWeights, memory: SequenceMemory) -> None:
        self.step = step
        self._weights = weights
        self._memory = memory
        self._buffers: dict[int, npt.NDArray[Any]] = {}
        counts = np.diff(step.row_starts)
        self._sequences = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        self._pages = step.page_table[self._sequences, step.positions // memory.page_size]

    def read(self, x: Buffer) -> F32:
        """Return the buffer, or a view's columns of it."""
        return self._buffers[x.root.id][:, x.column : x.column + x.width]

    def read_indices(self, x: Buffer) -> I32:
        """Return a buffer of integers."""
        return self._buffers[x.root.id][:, x.column : x.column + x.width]

    def write(self, out: Buffer, values: npt.NDArray[np.generic]) -> None:
        """Set a buffer, in the type it declares."""
        expected = (self._num_rows(out.rows), out.width)
        if values.shape != expected:
            raise ProgramError(f"a reference wrote {values.shape} to {out}, expected {expected} in this step")
        self._buffers[out.id] = values.astype(TYPES[out.element])

    def release(self, buffers: Sequence[Buffer]) -> None:
        """Forget buffers that no later op reads."""
        for buffer in buffers:
            self._buffers.pop(buffer.id, None)

    def weight(self, weight: Weight) -> F32:
        """Return a weight in float32."""
        return self._weights.array(weight)

    def positions(self, rows: Rows) -> I32:
        """Return each row's position."""
        return self._of_rows(self.step.positions, rows)

    def sequences(self, rows: Rows) -> I32:
        """Return each row's sequence."""
        return self._of_rows(self._sequences, rows)

    def state(self, state: ConvState | RecurrentState, sequence: int) -> F32:
        """Return a sequence's state, to be changed in place."""
        return self._memory.slot(state, int(self.step.state_slots[sequence]))

    def append(self, cache: KvCache, keys: F32, values: F32) -> None:
        """Store the step's keys and values."""
        self._memory.append(cache, self._pages, self.step.positions, keys, values)

    def cached(self, cache: KvCache, sequence: int, length: int) -> tuple[F32, F32]:
        """Return a sequence's first keys and values."""
        return self._memory.cached(cache, self.step.page_table[sequence], length)

    def _of_rows(self, values: I32, rows: Rows) -> I32:
        return values if rows is Rows.TOKENS else values[self.step.output_rows]

    def _num_rows(self, rows: Rows) -> int:
        return len(self.step.tokens if rows is Rows.TOKENS else self.step.output_rows)
