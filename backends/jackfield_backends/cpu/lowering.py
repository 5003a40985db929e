"""From ops to table calls: what an op's lowerer may ask for.

A lowerer is a function ``(Lowering, op) -> None`` that appends the native calls of one op. It learns the
places of buffers, weights and state here, and passes them to kernels as int64 arguments.

Promises to kernels. Rows of a buffer that owns memory begin at a cache line and lie ``row_bytes`` apart; it has
room for ``ROW_TILE`` rows more than a step can have, so that a linear op may write whole tiles past the last row.
The output of an op may share memory with an input only if the op is in ``plan.IN_PLACE`` (elementwise, and the
residual of a ``LinearAdd``) and nothing reads that input later.

What the matrix files provide: ``linear.lower_linears(lowering, ops)`` for consecutive ``Linear`` ops of one
``x`` (some may be ``LinearAdd``), ``linear.reads_activation(type_name)``, ``experts.lower_experts(lowering, op)``,
``quantize.activation_bytes(width, max_rows)`` and ``quantize.lower_quantize(lowering, buffer, place)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, TensorData, WeightSource
from jackfield.gguf import BLOCK_FORMATS
from jackfield.program import Buffer, ConvState, KvCache, Op, RecurrentState, Rows, Weight
from jackfield_backends.cpu.kernel import Kernel
from jackfield_backends.cpu.memory import Arena, aligned
from jackfield_backends.cpu.table import Argument, Call

__all__ = ["ROW_TILE", "Lowering", "Places", "StepTables", "TensorPlace"]

ROW_TILE = 12


@dataclass(frozen=True)
class TensorPlace:
    """A weight in memory: ``address`` is that of its first used row."""

    tensor: TensorData
    address: int
    row_bytes: int

    @property
    def type_name(self) -> str:
        """Its block format, spelt as in GGUF."""
        return self.tensor.type_name


@dataclass(frozen=True)
class KvPlace:
    """One layer's pages: ``keys + page * key_page_bytes``, a head after the other within a page."""

    keys: int
    values: int
    key_page_bytes: int
    value_page_bytes: int


@dataclass(frozen=True)
class StatePlace:
    """A fixed state's slots."""

    address: int
    slot_bytes: int


@dataclass(frozen=True)
class StepTables:
    """Addresses of a step's int32 tables and int64 counts, rewritten before every step.

    ``sequences`` holds the sequence of every row; ``page_table`` has rows of ``max_pages`` entries.
    """

    num_tokens: int
    num_outputs: int
    num_sequences: int
    tokens: int
    positions: int
    sequences: int
    row_starts: int
    page_table: int
    max_pages: int
    state_slots: int
    output_rows: int


@dataclass(frozen=True)
class Places:
    """Where the planner put things; activations are the quantised copies of buffers."""

    buffers: Mapping[int, int]
    activations: Mapping[int, int]
    caches: Mapping[int, KvPlace]
    states: Mapping[int, StatePlace]


def row_bytes_of(width: int) -> int:
    """Return the distance of rows of a buffer of ``width`` columns that owns its memory."""
    return aligned(4 * width)


class Lowering:
    """Collects the calls of a program.

    Attributes:
        limits: What steps never exceed.
        tables: The step's tables.
        calls: What has been lowered so far.
    """

    def __init__(
        self, weights: WeightSource, limits: Limits, tables: StepTables, places: Places, memory: Arena
    ) -> None:
        self.limits = limits
        self.tables = tables
        self.calls: list[Call] = []
        self._weights = weights
        self._places = places
        self._memory = memory
        self._counters = 0
        self._counter_cells = memory.array(8 * MAX_COUNTERS, np.int64, "work counters")
        self._scratch_cells = memory.array(2, np.int64, "scratch cells")
        self._scratch_bytes = 0
        self._quantized: set[int] = set()

    # ---- rows ----

    def address(self, buffer: Buffer) -> int:
        """Return the address of a buffer's first element."""
        return self._places.buffers[buffer.root.id] + 4 * buffer.column

    def row_bytes(self, buffer: Buffer) -> int:
        """Return the distance of a buffer's rows in bytes."""
        return row_bytes_of(buffer.root.width)

    def num_rows_cell(self, rows: Rows) -> int:
        """Return the address of an int64: how many such rows this step has."""
        return self.tables.num_tokens if rows is Rows.TOKENS else self.tables.num_outputs

    def max_rows(self, rows: Rows) -> int:
        """Return how many such rows a step has at most."""
        return self.limits.max_rows if rows is Rows.TOKENS else self.limits.max_outputs

    def activation(self, buffer: Buffer) -> int:
        """Return the place of a buffer's quantised copy (``quantize.py`` has its layout).

        The first caller's call is preceded by one that makes the copy.
        """
        place = self._places.activations[buffer.id]
        if buffer.id not in self._quantized:
            self._quantized.add(buffer.id)
            from jackfield_backends.cpu.quantize import lower_quantize

            lower_quantize(self, buffer, place)
        return place

    def provides_activation(self, buffer: Buffer) -> int | None:
        """Return where the caller's kernel must put the quantised copy; ``None`` if nobody wants it."""
        place = self._places.activations.get(buffer.id)
        if place is not None:
            self._quantized.add(buffer.id)
        return place

    # ---- weights and state ----

    def tensor(self, weight: Weight) -> TensorPlace:
        """Return a weight's tensor and the place of its first used row in the mapped file."""
        tensor = self._weights[weight.name]
        form = BLOCK_FORMATS[tensor.type_name]
        row_bytes = weight.shape[-1] // form.block_elements * form.block_bytes
        return TensorPlace(tensor, tensor.data.ctypes.data + weight.row_start * row_bytes, row_bytes)

    def vector(self, weight: Weight) -> int:
        """Return the address of a small weight as float32, dequantised here if it must be."""
        tensor = self._weights[weight.name]
        if tensor.type_name == "F32" and tensor.data.ctypes.data % 4 == 0:
            return self.tensor(weight).address
        values = tensor.to_float32().reshape(-1, weight.shape[-1])
        return self.constant(values[weight.row_start :])

    def constant(self, array: npt.NDArray[Any]) -> int:
        """Return the address of an aligned copy that lives as long as the executable."""
        return self._memory.keep(np.ascontiguousarray(array))

    def cache(self, cache: KvCache) -> KvPlace:
        """Return the pages of a layer."""
        return self._places.caches[cache.id]

    def state(self, state: ConvState | RecurrentState) -> StatePlace:
        """Return the slots of a fixed state."""
        return self._places.states[state.id]

    # ---- work space ----

    def thread_scratch(self, num_bytes: int) -> int:
        """Ask for memory that each thread may use during one call.

        Returns the address of two int64 cells, base and distance: thread t's part is at ``base + t * distance``.
        """
        self._scratch_bytes = max(self._scratch_bytes, aligned(num_bytes))
        return self._scratch_cells.ctypes.data

    def counter(self) -> int:
        """Return the address of an int64 that is 0 at the start of every step, alone on its cache line."""
        if self._counters == MAX_COUNTERS:
            raise AssertionError(f"a program asked for more than {MAX_COUNTERS} work counters")
        self._counters += 1
        return self._counter_cells.ctypes.data + 64 * (self._counters - 1)

    # ---- calls ----

    def call(self, kernel: Kernel, *arguments: Argument, barrier: bool = True) -> None:
        """Append a call."""
        self.calls.append(Call(kernel, arguments, barrier))


MAX_COUNTERS = 8192
Lowerer = Callable[[Lowering, Any], None]
LOWERERS: dict[type[Op], Lowerer] = {}


def lowers(*kinds: type[Op]) -> Callable[[Lowerer], Lowerer]:
    """Register the lowerer of some op types."""

    def register(lowerer: Lowerer) -> Lowerer:
        for kind in kinds:
            LOWERERS[kind] = lowerer
        return lowerer

    return register
