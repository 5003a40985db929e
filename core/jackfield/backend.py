"""The backend contract: open a program over a checkpoint's weights, then step it.

Dimension letters: T token rows in a step, B sequences in it, R rows whose logits are wanted, P pages,
N tokens a page, V vocabulary.

Who owns what: the backend owns weights and all per-sequence memory (pages of keys and values, state slots).
The engine decides which page and which slot belongs to whom, and never looks inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from jackfield.program import Op, Program, Weight

__all__ = [
    "Backend",
    "CallTime",
    "Executable",
    "KvType",
    "Limits",
    "MachineRates",
    "MemoryEstimate",
    "OpenProgress",
    "SoftTokens",
    "Step",
    "StepTimes",
    "TensorData",
    "TimesCalls",
    "WeightSource",
]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
KvType = str
"""How keys and values are stored: ``f16`` (default), ``f32`` or ``q8_0``."""

OpenProgress = Callable[[str, int, int], None]
"""Called while opening with (what is done now, done, of how many)."""


class TensorData(Protocol):
    """A tensor of the checkpoint."""

    @property
    def name(self) -> str:
        """The name in the file."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents in numpy order, slowest first."""
        ...

    @property
    def type_name(self) -> str:
        """Block format, spelt as in GGUF: ``F32``, ``Q4_K`` and so on."""
        ...

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """The raw bytes, one dimension, read-only, mapped from the file."""
        ...

    def to_float32(self) -> F32:
        """Dequantise to an array of ``shape``; allocates."""
        ...


WeightSource = Mapping[str, TensorData]


@dataclass(frozen=True)
class Limits:
    """What the engine promises never to exceed.

    Attributes:
        num_pages: P, pages of keys and values for all sequences together.
        page_size: N, tokens a page; a multiple of 16.
        max_rows: Most token rows T in a step.
        max_outputs: Most output rows R in a step.
        max_sequences: Most sequences B in a step.
        max_context: Most tokens of one sequence.
        num_state_slots: Slots for convolution and recurrent state, checkpoints included.
        num_threads: Threads the backend may use.
        kv_type: How keys and values are stored.
    """

    num_pages: int
    page_size: int = 32
    max_rows: int = 512
    max_outputs: int = 64
    max_sequences: int = 64
    max_context: int = 4096
    num_state_slots: int = 0
    num_threads: int = 1
    kv_type: KvType = "f16"


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes a program will take; ``mapped`` stays in the page cache and can be dropped by the system."""

    mapped_bytes: int
    weights_bytes: int
    kv_bytes: int
    state_bytes: int
    scratch_bytes: int

    @property
    def resident_bytes(self) -> int:
        """What must fit in memory beside the mapped file."""
        return self.weights_bytes + self.kv_bytes + self.state_bytes + self.scratch_bytes


@dataclass(frozen=True)
class SoftTokens:
    """For each row of a step a distribution over tokens, without those that weigh nothing.

    Attributes:
        starts: ``[T + 1]`` the entries of row t are ``starts[t]`` to ``starts[t + 1]``; a row may have none.
        ids: ``[N]`` token ids, checked against the vocabulary by the engine.
        weights: ``[N]`` their weights.
    """

    starts: npt.NDArray[np.int64]
    ids: I32
    weights: F32


@dataclass(frozen=True)
class MachineRates:
    """What the machine can do at best, all threads together; multiplying and adding are two operations."""

    read_bytes_per_s: float
    int8_ops_per_s: float


@dataclass(frozen=True)
class Step:
    """One step: T token rows of B sequences, the rows of a sequence side by side and in order.

    Attributes:
        tokens: ``[T]`` token ids, checked against the vocabulary by the engine.
        positions: ``[T]`` position of each row in its sequence, from 0; also its place in the cache.
        row_starts: ``[B + 1]`` rows of sequence b are ``row_starts[b]`` to ``row_starts[b + 1]``.
        page_table: ``[B, pages]`` the page that holds positions ``i * N`` to ``(i + 1) * N`` of sequence b.
            Entries past the sequence's last page are 0 and are not read.
        state_slots: ``[B]`` slot of each sequence's convolution and recurrent state; slot contents for a new
            sequence were cleared with ``clear_state``. All 0 when the program has no such state.
        output_rows: ``[R]`` rows whose logits are wanted, ascending.
        canvases: ``[B]`` 1 for a sequence whose rows are a canvas that a diffusion model refines: they attend to
            each other in both directions, and to earlier positions as its first row does. ``None`` when all
            rows are text.
        soft_tokens: What ``SoftEmbed`` looks up; ``None`` when no row has anything.
    """

    tokens: I32
    positions: I32
    row_starts: I32
    page_table: I32
    state_slots: I32
    output_rows: I32
    canvases: I32 | None = None
    soft_tokens: SoftTokens | None = None

    def canvas_rows(self) -> I32:
        """Return ``[T]`` 1 for the rows of a canvas, 0 for those of text."""
        if self.canvases is None:
            return np.zeros(len(self.tokens), np.int32)
        return np.repeat(self.canvases, np.diff(self.row_starts))

    def sight(self) -> tuple[I32, I32]:
        """Return ``[T]`` the positions from which windows are measured, and ``[T]`` the last ones seen.

        For a row of text both are its own position, for one of a canvas the canvas's first and last.
        """
        if self.canvases is None:
            return self.positions, self.positions
        is_canvas, counts = self.canvas_rows() == 1, np.diff(self.row_starts)
        first = np.repeat(self.positions[self.row_starts[:-1]], counts)
        last = np.repeat(self.positions[self.row_starts[1:] - 1], counts)
        return np.where(is_canvas, first, self.positions), np.where(is_canvas, last, self.positions)


class Executable(Protocol):
    """A program opened by a backend. One thread calls it; nothing here is re-entrant."""

    def step(self, step: Step) -> F32:
        """Run the program and return the logits ``[R, V]``.

        Mutates the pages and state slots the step names. The returned array is the backend's own memory
        and is valid until the next call.
        """
        ...

    def hidden(self) -> F32:
        """Return the hidden rows ``[R, D]`` of the last step, for pooling; valid until the next call."""
        ...

    def copy_page(self, source: int, target: int) -> None:
        """Copy one page of every cache."""
        ...

    def clear_state(self, slot: int) -> None:
        """Zero a slot's convolution and recurrent state."""
        ...

    def copy_state(self, source: int, target: int) -> None:
        """Copy a slot's convolution and recurrent state."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Return facts for ``doctor`` and logs, such as the instruction set and the threads."""
        ...

    def close(self) -> None:
        """Stop threads and release memory; the executable must not be used afterwards."""
        ...


@dataclass(frozen=True)
class CallTime:
    """How long one piece of a step's work took.

    Attributes:
        name: What ran, in the backend's own word.
        ops: What it computes, as the backend runs it; none when it prepares what later calls read.
        weights: The matrices it reads.
    """

    name: str
    ops: tuple[Op, ...]
    weights: tuple[Weight, ...]
    seconds: float


@dataclass(frozen=True)
class StepTimes:
    """A step taken apart.

    Attributes:
        logits: What ``Executable.step`` returns.
        calls: In the order in which they ran.
        own_s: What the backend itself takes before, between and after the calls of an ordinary step.
    """

    logits: F32
    calls: Sequence[CallTime]
    own_s: float


@runtime_checkable
class TimesCalls(Protocol):
    """What an ``Executable`` may be as well; ``jackfield bench --profile`` uses it."""

    def time_step(self, step: Step) -> StepTimes:
        """Run a step as ``Executable.step`` does, but call by call, and time each; slower than ``step``."""
        ...


class Backend(Protocol):
    """A way to compute programs."""

    def unavailable(self) -> str | None:
        """Return why this machine cannot use it, one sentence; ``None`` when it can."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Return facts about this machine for ``doctor``, such as the instruction set and the kernel cache."""
        ...

    def measure(self, num_threads: int) -> MachineRates | None:
        """Measure this machine for a second or two; ``None`` for a backend that is not bound by its rates."""
        ...

    def cannot_run(self, program: Program, weights: WeightSource) -> str | None:
        """Return what it lacks to run it (an op, a block format), one sentence; ``None`` for nothing."""
        ...

    def estimate(self, program: Program, weights: WeightSource, limits: Limits) -> MemoryEstimate:
        """Return the memory ``open`` would take, without taking it."""
        ...

    def open(
        self,
        program: Program,
        weights: WeightSource,
        limits: Limits,
        progress: OpenProgress | None = None,
    ) -> Executable:
        """Prepare the program: compile kernels, allocate pages and scratch.

        Raises:
            BackendError: It cannot run the program, or memory is short; the message has the figures.
        """
        ...
