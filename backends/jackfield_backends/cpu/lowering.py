"""From ops to table calls: what an op's lowerer may ask for.

A lowerer is a function ``(Lowering, op) -> None`` that appends the native calls of one op. It learns the
places of buffers, weights and state here, and passes them to kernels as int64 arguments.

Promises to kernels. Rows of a buffer that owns memory begin at a cache line and lie ``row_bytes`` apart; it has
room for ``ROW_TILE`` rows more than a step can have, so that a linear op may write whole tiles past the last
row. Reading 64 bytes past a row's end is safe. The output of an op shares memory with an operand only if the op
is in ``plan.IN_PLACE`` (elementwise, and the residual of a ``LinearAdd``) and nothing reads that operand later.

What the matrix files provide: ``linear.lower_linears(lowering, ops)`` for consecutive ``Linear`` ops of one
``x`` (some may be ``LinearAdd``), ``experts.lower_experts(lowering, op)``, ``quantize.activation_bytes(width,
max_rows)`` and ``quantize.lower_quantize(lowering, buffer, place)``.

Every program is lowered twice: once as a survey, where all places are 0, to learn which copies and how much
scratch its lowerers ask for, and then in earnest.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, TensorData, WeightSource
from jackfield.gguf import BLOCK_FORMATS
from jackfield.program import Buffer, ConvState, KvCache, Op, RecurrentState, Rows, Weight
from jackfield_backends.cpu.kernel import Kernel
from jackfield_backends.cpu.memory import Arena, aligned
from jackfield_backends.cpu.plan import Span
from jackfield_backends.cpu.quantize import activation_bytes, lower_quantize
from jackfield_backends.cpu.table import Argument, Call, Origin
from jackfield_backends.cpu.tables import StepTables

__all__ = [
    "LOWERERS", "KvPlace", "Lowerer", "Lowering", "OutputCopy", "Places", "PythonCall", "StatePlace",
    "TensorPlace", "buffer_bytes", "lowers", "max_rows",
]  # fmt: skip

ROW_TILE = 12
COUNTERS_AT_ONCE = 512
CACHE_LINE = 64


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

    keys: int = 0
    values: int = 0
    key_page_bytes: int = 0
    value_page_bytes: int = 0


@dataclass(frozen=True)
class StatePlace:
    """A fixed state's slots."""

    address: int = 0
    slot_bytes: int = 0


@dataclass(frozen=True)
class Places:
    """Where things lie: buffers by root id, quantised copies by buffer id, states by state id.

    Attributes:
        made_by_producer: The copies that an op makes of its own output; whether the rows are read as well.
    """

    buffers: Mapping[int, int] = field(default_factory=dict[int, int])
    activations: Mapping[int, int] = field(default_factory=dict[int, int])
    caches: Mapping[int, KvPlace] = field(default_factory=dict[int, KvPlace])
    states: Mapping[int, StatePlace] = field(default_factory=dict[int, StatePlace])
    made_by_producer: Mapping[int, bool] = field(default_factory=dict[int, bool])


@dataclass(frozen=True)
class OutputCopy:
    """Where an op puts the quantised copy of its output, and its rows: 0 when nobody reads them."""

    place: int
    rows: int


@dataclass(frozen=True)
class PythonCall:
    """An op that runs in the interpreter, between two stretches of the table."""

    op: Op


def buffer_bytes(buffer: Buffer, limits: Limits) -> int:
    """Return the bytes of a buffer that owns its memory."""
    return aligned(4 * buffer.width) * (max_rows(buffer.rows, limits) + ROW_TILE)


def max_rows(rows: Rows, limits: Limits) -> int:
    """Return how many such rows a step has at most."""
    return limits.max_rows if rows is Rows.TOKENS else limits.max_outputs


class Lowering:
    """Collects the calls of a program.

    Args:
        places: ``None`` for a survey.

    Attributes:
        limits: What steps never exceed.
        tables: The step's tables.
        calls: What has been lowered so far.
        copies: Span and bytes of every quantised copy that was asked for.
        rows_read: Buffers that own memory and are read as rows, by id; the making of copies aside.
        scratch_bytes: What each thread needs at most.
    """

    def __init__(
        self, weights: WeightSource, limits: Limits, tables: StepTables, memory: Arena, places: Places | None
    ) -> None:
        self.limits = limits
        self.tables = tables
        self.calls: list[Call | PythonCall] = []
        self.copies: dict[int, tuple[Span, int]] = {}
        self.rows_read: set[int] = set()
        self.scratch_bytes = 0
        self._places = places or Places()
        self._weights = weights
        self._memory = memory
        self._ops = Span(0, 0)
        self._group: tuple[Op, ...] = ()
        self._matrices: dict[int, Weight] = {}
        self._written: set[int] = set()
        self._prologue: dict[object, Any] = {}
        self._prologue_calls: list[Call] = []
        self._counters: list[npt.NDArray[np.int64]] = []
        self._num_counters = 0
        self._scratch_cells = memory.array(2, np.int64, "scratch cells")

    def begin(self, first: int, ops: Sequence[Op]) -> None:
        """Say which ops are lowered from now on, and the number of the first."""
        self._ops = Span(first, first + len(ops) - 1)
        self._group = tuple(ops)
        self._matrices = {}
        self._written = {buffer.id for op in ops for buffer in op.writes}

    # ---- rows ----

    def address(self, buffer: Buffer) -> int:
        """Return the address of a buffer's first element."""
        if buffer.root.id not in self._written:
            self.rows_read.add(buffer.root.id)
        return self._places.buffers.get(buffer.root.id, 0) + 4 * buffer.column

    def row_bytes(self, buffer: Buffer) -> int:
        """Return the distance of a buffer's rows in bytes."""
        return aligned(4 * buffer.root.width)

    def num_rows_cell(self, rows: Rows) -> int:
        """Return the address of an int64: how many such rows this step has."""
        return self.tables.num_rows(rows)

    def max_rows(self, rows: Rows) -> int:
        """Return how many such rows a step has at most."""
        return max_rows(rows, self.limits)

    def activation(self, buffer: Buffer) -> int:
        """Return the place of a buffer's quantised copy; the first to ask gets the call that makes it."""
        if buffer.id not in self.copies:
            was_read = buffer.base is not None or buffer.id in self.rows_read
            with self._preparing():
                lower_quantize(self, buffer, self._begin_copy(buffer))
            if not was_read:
                self.rows_read.discard(buffer.id)
        self.copies[buffer.id][0].last = self._ops.last
        return self._places.activations.get(buffer.id, 0)

    def output_copy(self, out: Buffer) -> OutputCopy | None:
        """Return where an op must put the quantised copy of its own output; ``None`` if nobody wants it.

        Only for ops of which ``fused.can_quantize_output`` is true.
        """
        keep_rows = self._places.made_by_producer.get(out.id)
        if keep_rows is None:
            return None
        place = self._begin_copy(out)
        return OutputCopy(place, self.address(out) if keep_rows else 0)

    def _begin_copy(self, buffer: Buffer) -> int:
        size = activation_bytes(buffer.width, self.max_rows(buffer.rows))
        self.copies[buffer.id] = (replace(self._ops), size)
        return self._places.activations.get(buffer.id, 0)

    def derived(self, buffer: Buffer, num_bytes: int, make: Callable[[int], None]) -> int:
        """Return the place of another form of a buffer than the quantised one; ``make`` appends its making.

        A buffer has at most one such form.
        """
        key = -1 - buffer.id
        if key not in self.copies:
            self.copies[key] = (replace(self._ops), num_bytes)
            with self._preparing():
                make(self._places.activations.get(key, 0))
        self.copies[key][0].last = self._ops.last
        return self._places.activations.get(key, 0)

    # ---- weights and state ----

    def tensor(self, weight: Weight) -> TensorPlace:
        """Return a weight's tensor and the place of its first used row in the mapped file."""
        tensor = self._weights[weight.name]
        form = BLOCK_FORMATS[tensor.type_name]
        row_bytes = weight.shape[-1] // form.block_elements * form.block_bytes
        address = tensor.data.ctypes.data + weight.row_start * row_bytes
        self._matrices[address] = weight
        return TensorPlace(tensor, address, row_bytes)

    def vector(self, weight: Weight) -> int:
        """Return the address of a copy of a small weight as float32, its entries side by side.

        A copy, because kernels read whole vectors and the mapped file may end sooner.
        """
        return self.constant(self.floats(weight))

    def floats(self, weight: Weight) -> npt.NDArray[np.float32]:
        """Return a small weight's entries, dequantised, side by side."""
        start = weight.row_start * math.prod(weight.shape[1:])
        entries = self._weights[weight.name].to_float32().ravel()
        return entries[start : start + math.prod(weight.shape)]

    def constant(self, array: npt.NDArray[Any]) -> int:
        """Return the address of an aligned copy that lives as long as the executable."""
        return self._memory.keep(np.ascontiguousarray(array))

    def cache(self, cache: KvCache) -> KvPlace:
        """Return the pages of a layer."""
        return self._places.caches.get(cache.id, KvPlace())

    def state(self, state: ConvState | RecurrentState) -> StatePlace:
        """Return the slots of a fixed state."""
        return self._places.states.get(state.id, StatePlace())

    # ---- work space ----

    def thread_scratch(self, num_bytes: int) -> int:
        """Ask for memory that each thread may use during one call.

        Returns the address of two int64 cells, base and distance: thread t's part is at base + t * distance.
        """
        self.scratch_bytes = max(self.scratch_bytes, aligned(num_bytes))
        return self._scratch_cells.ctypes.data

    def counter(self) -> int:
        """Return the address of an int64 that is 0 when a step starts, alone on its cache line."""
        if self._num_counters % COUNTERS_AT_ONCE == 0:
            length = COUNTERS_AT_ONCE * CACHE_LINE // 8
            self._counters.append(self._memory.array(length, np.int64, "work counters"))
        place = self._num_counters % COUNTERS_AT_ONCE
        self._num_counters += 1
        return self._counters[-1].ctypes.data + CACHE_LINE * place

    def once_a_step(self, key: object, prepare: Callable[[], tuple[Call, Any]]) -> Any:
        """Return what an early call of the step provides, such as a table that many ops read.

        Args:
            key: The same key gives the same thing.
            prepare: Returns the call, run before all others, and what users need to know of its result.
        """
        if key not in self._prologue:
            call, result = prepare()
            self._prologue_calls.append(replace(call, origin=Origin(self._group)))
            self._prologue[key] = result
        return self._prologue[key]

    def memory(self, num_bytes: int, what: str) -> int:
        """Return the address of memory that lives as long as the executable."""
        return self._memory.take(num_bytes, what)

    # ---- calls ----

    def call(self, kernel: Kernel, *arguments: Argument, barrier: bool = True) -> None:
        """Append a call."""
        has_scratch = self._scratch_cells.ctypes.data in arguments
        assert barrier or not has_scratch, "the next call's parts would use the scratch of this one's"
        self.calls.append(Call(kernel, arguments, barrier, self._origin(arguments)))

    def _origin(self, arguments: Sequence[Argument]) -> Origin:
        weights = [weight for address, weight in self._matrices.items() if address in arguments]
        return Origin(self._group, tuple(weights))

    @contextlib.contextmanager
    def _preparing(self) -> Iterator[None]:
        """Let calls made meanwhile count for no op: what they make serves later ones as well."""
        group, self._group = self._group, ()
        yield
        self._group = group

    def call_python(self, op: Op) -> None:
        """Append an op that runs its numpy reference."""
        self.calls.append(PythonCall(op))

    def finish(self, scratch: int) -> tuple[list[Call | PythonCall], list[npt.NDArray[np.int64]]]:
        """Return all calls in order, and the counters to clear before each step.

        Args:
            scratch: Address of the threads' scratch memory.
        """
        self._scratch_cells[:] = (scratch, self.scratch_bytes)
        return [*self._prologue_calls, *self.calls], self._counters


Lowerer = Callable[[Lowering, Any], None]
LOWERERS: dict[type[Op], Lowerer] = {}


def lowers(*kinds: type[Op]) -> Callable[[Lowerer], Lowerer]:
    """Register the lowerer of some op types."""

    def register(lowerer: Lowerer) -> Lowerer:
        for kind in kinds:
            LOWERERS[kind] = lowerer
        return lowerer

    return register
