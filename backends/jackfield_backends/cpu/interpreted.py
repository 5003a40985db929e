"""Ops without a native kernel: their numpy reference, over the memory that kernels use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, Step, WeightSource
from jackfield.descriptors import OpDescriptor, load_attribute
from jackfield.errors import ProgramError
from jackfield.program import Buffer, ConvState, KvCache, Op, Program, RecurrentState, Rows, Weight
from jackfield_backends.cpu.storage import Storage

__all__ = ["InterpretedInputs", "Reference", "references_of"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Reference = Callable[[Any, Any], None]


def references_of(program: Program, kinds: set[type[Op]]) -> Mapping[type[Op], Reference]:
    """Return the numpy meaning of some plugin ops."""
    return {kind: _reference(program.plugin_ops[kind]) for kind in kinds}


def _reference(descriptor: OpDescriptor) -> Reference:
    found: Reference = load_attribute(descriptor.reference, f"op {descriptor.name!r}")
    return found


@dataclass
class InterpretedInputs:
    """Satisfies ``jackfield.program.Inputs`` for one executable; ``step`` is set before each step."""

    storage: Storage
    limits: Limits
    sources: WeightSource
    step: Step
    _weights: dict[Weight, F32] = field(default_factory=dict[Weight, F32])

    def read(self, x: Buffer) -> F32:
        """Return a buffer's rows of this step."""
        return self.storage.rows(x, self._num_rows(x.rows))

    def read_indices(self, x: Buffer) -> I32:
        """Return a buffer of integers."""
        return self.read(x).view(np.int32)

    def write(self, out: Buffer, values: npt.NDArray[np.generic]) -> None:
        """Set an output buffer's rows."""
        shape = (self._num_rows(out.rows), out.width)
        if values.shape != shape:
            raise ProgramError(f"an op wrote values of shape {values.shape} to {out}; expected {shape}")
        target = self.read(out) if out.element.value == "f32" else self.read_indices(out)
        target[:] = values

    def weight(self, weight: Weight) -> F32:
        """Return a weight, dequantised; kept for the next step."""
        if weight not in self._weights:
            whole = self.sources[weight.name].to_float32()
            rows = whole.reshape(-1, *weight.shape[1:]) if len(weight.shape) > 1 else whole.ravel()
            stop = weight.row_start + weight.shape[0]
            self._weights[weight] = rows[weight.row_start : stop].reshape(weight.shape)
        return self._weights[weight]

    def positions(self, rows: Rows) -> I32:
        """Return each row's position."""
        return self._rows_of(self.step.positions, rows)

    def sequences(self, rows: Rows) -> I32:
        """Return each row's sequence."""
        lengths = np.diff(self.step.row_starts)
        return self._rows_of(np.repeat(np.arange(len(lengths), dtype=np.int32), lengths), rows)

    def state(self, state: ConvState | RecurrentState, sequence: int) -> F32:
        """Return a sequence's state, to be changed in place."""
        slot: F32 = self.storage.states[state.id][self.step.state_slots[sequence]]
        return slot

    def append(self, cache: KvCache, keys: F32, values: F32) -> None:
        """Store the step's keys and values."""
        pages, places = self._places(self.sequences(Rows.TOKENS), self.positions(Rows.TOKENS))
        self.storage.write_kv(cache, pages, places, keys, values)

    def cached(self, cache: KvCache, sequence: int, length: int) -> tuple[F32, F32]:
        """Return a sequence's keys and values."""
        pages, places = self._places(np.full(length, sequence, np.int32), np.arange(length, dtype=np.int32))
        return self.storage.read_kv(cache, pages, places)

    def _places(self, sequences: I32, positions: I32) -> tuple[I32, I32]:
        size = self.limits.page_size
        return self.step.page_table[sequences, positions // size], positions % size

    def _num_rows(self, rows: Rows) -> int:
        return len(self.step.tokens) if rows is Rows.TOKENS else len(self.step.output_rows)

    def _rows_of(self, table: I32, rows: Rows) -> I32:
        return table if rows is Rows.TOKENS else table[self.step.output_rows]
