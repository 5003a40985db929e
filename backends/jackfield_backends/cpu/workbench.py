"""A few ops alone, for tests and timings: their kernels, threads and memory, without a program around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, WeightSource
from jackfield.program import Buffer, Rows
from jackfield_backends.cpu.cache import ObjectCache
from jackfield_backends.cpu.linking import addresses_of
from jackfield_backends.cpu.lowering import Lowering, Places, buffer_bytes
from jackfield_backends.cpu.memory import Arena, aligned
from jackfield_backends.cpu.table import DRIVERS, Call, CallTable, Crew
from jackfield_backends.cpu.tables import StepTables

__all__ = ["Workbench"]

F32 = npt.NDArray[np.float32]


class Workbench:
    """Runs what a lowerer appends.

    Args:
        lower: Appends the calls.
        buffers: What they read and write; each gets memory of its own.
        weights: The tensors they name.
        max_rows: Most rows of a run.
        num_threads: The caller's included.
        cache: Where compiled kernels are kept.
    """

    def __init__(
        self,
        lower: Callable[[Lowering], None],
        buffers: Sequence[Buffer],
        weights: WeightSource,
        max_rows: int,
        num_threads: int = 1,
        cache: ObjectCache | None = None,
    ) -> None:
        limits = Limits(
            num_pages=1, max_rows=max_rows, max_outputs=1, max_sequences=1, num_threads=num_threads
        )
        self._memory = Arena()
        self._arrays = {buffer.id: self._take(buffer_bytes(buffer, limits)) for buffer in buffers}
        tables = StepTables(limits, self._memory)
        survey = Lowering(weights, limits, tables, Arena(), Places())
        lower(survey)
        copies = {key: self._take(size).ctypes.data for key, (_, size) in survey.copies.items()}
        places = Places({i: array.ctypes.data for i, array in self._arrays.items()}, copies)
        lowering = Lowering(weights, limits, tables, self._memory, places)
        lower(lowering)
        scratch = self._memory.take(lowering.scratch_bytes * num_threads, "scratch")
        made, self._counters = lowering.finish(scratch)
        calls = [call for call in made if isinstance(call, Call)]
        kernels = [kernel for call in calls for kernel in call.kernels]
        addresses = addresses_of([*DRIVERS, *kernels], cache or ObjectCache())
        self._table = CallTable(calls, addresses, self._memory)
        self._crew = Crew([addresses[driver] for driver in DRIVERS], num_threads, self._memory)
        self._tables, self._weights = tables, weights

    def rows(self, buffer: Buffer) -> npt.NDArray[Any]:
        """Return all rows of a buffer, to be filled or read."""
        kind = np.int32 if buffer.element.value == "i32" else np.float32
        return (
            self._arrays[buffer.id].view(kind).reshape(-1, aligned(4 * buffer.width) // 4)[:, : buffer.width]
        )

    def run(self, num_rows: int) -> None:
        """Run the calls once over that many rows."""
        self._tables._rows[Rows.TOKENS].count[0] = num_rows
        for counters in self._counters:
            counters.fill(0)
        self._crew.run(self._table)

    def close(self) -> None:
        """End the threads."""
        self._crew.close()

    def _take(self, num_bytes: int) -> npt.NDArray[np.uint8]:
        return self._memory.array(num_bytes, np.uint8, "a workbench")
