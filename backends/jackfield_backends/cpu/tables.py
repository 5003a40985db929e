"""The tables of a step, where kernels find them.

Rows of either kind have a position and a sequence: ``TOKENS`` as the step gives them, ``OUTPUTS`` picked from
those by ``output_rows``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, SoftTokens, Step
from jackfield.program import Rows
from jackfield_backends.cpu.memory import Arena

__all__ = ["StepTables"]

I32 = npt.NDArray[np.int32]


class _RowTables:
    """What is known of the rows of one kind."""

    def __init__(self, max_rows: int, memory: Arena) -> None:
        self.count = memory.array(1, np.int64, "step tables")
        self.positions = memory.array(max_rows, np.int32, "step tables")
        self.sequences = memory.array(max_rows, np.int32, "step tables")
        self.origins = memory.array(max_rows, np.int32, "step tables")
        self.ends = memory.array(max_rows, np.int32, "step tables")
        self.canvas_rows = memory.array(max_rows, np.int32, "step tables")

    def fill(self, columns: Sequence[I32], rows: I32 | slice) -> None:
        """Take these rows of the step's positions, sequences, origins, ends and canvas rows."""
        targets = (self.positions, self.sequences, self.origins, self.ends, self.canvas_rows)
        for target, column in zip(targets, columns, strict=True):
            chosen = column[rows]
            target[: len(chosen)] = chosen
        self.count[0] = len(columns[0][rows])


class StepTables:
    """Owns the tables and fills them before each step; kernels take the addresses.

    Attributes:
        max_pages: Entries of a row of the page table.
    """

    def __init__(self, limits: Limits, memory: Arena) -> None:
        self.max_pages = -(-limits.max_context // limits.page_size)
        self._rows = {
            Rows.TOKENS: _RowTables(limits.max_rows, memory),
            Rows.OUTPUTS: _RowTables(limits.max_outputs, memory),
        }
        self._num_sequences = memory.array(1, np.int64, "step tables")
        self._tokens = memory.array(limits.max_rows, np.int32, "step tables")
        self._row_starts = memory.array(limits.max_sequences + 1, np.int32, "step tables")
        pages = memory.array(limits.max_sequences * self.max_pages, np.int32, "the page table")
        self._page_table = pages.reshape(limits.max_sequences, self.max_pages)
        self._state_slots = memory.array(limits.max_sequences, np.int32, "step tables")
        self._output_rows = memory.array(limits.max_outputs, np.int32, "step tables")
        self._soft_cells = memory.array(3, np.int64, "step tables")
        self._soft_tokens: SoftTokens | None = None

    def fill(self, step: Step) -> None:
        """Copy a step's tables to where kernels read them."""
        lengths = np.diff(step.row_starts)
        sequences = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        self._num_sequences[0] = len(lengths)
        self._tokens[: len(step.tokens)] = step.tokens
        self._row_starts[: len(lengths) + 1] = step.row_starts
        self._page_table[: len(lengths), : step.page_table.shape[1]] = step.page_table
        self._state_slots[: len(lengths)] = step.state_slots
        self._output_rows[: len(step.output_rows)] = step.output_rows
        columns = (step.positions, sequences, *step.sight(), step.canvas_rows())
        self._rows[Rows.TOKENS].fill(columns, slice(None))
        self._rows[Rows.OUTPUTS].fill(columns, step.output_rows)
        self._fill_soft_tokens(step.soft_tokens)

    def num_rows(self, rows: Rows) -> int:
        """Return the address of an int64: how many such rows this step has."""
        return self._rows[rows].count.ctypes.data

    def positions(self, rows: Rows) -> int:
        """Return the address of the rows' int32 positions."""
        return self._rows[rows].positions.ctypes.data

    def sequences(self, rows: Rows) -> int:
        """Return the address of the rows' int32 sequences."""
        return self._rows[rows].sequences.ctypes.data

    def origins(self, rows: Rows) -> int:
        """Return the address of the int32 positions from which the rows' windows are measured."""
        return self._rows[rows].origins.ctypes.data

    def ends(self, rows: Rows) -> int:
        """Return the address of the last int32 positions that the rows see."""
        return self._rows[rows].ends.ctypes.data

    def canvas_rows(self, rows: Rows) -> int:
        """Return the address of int32 numbers: 1 for a row of a canvas, else 0."""
        return self._rows[rows].canvas_rows.ctypes.data

    @property
    def soft_tokens(self) -> int:
        """The address of three cells: those of int64 starts, int32 ids and float32 weights; 0 when none."""
        return self._soft_cells.ctypes.data

    @property
    def num_sequences(self) -> int:
        """The address of an int64: B."""
        return self._num_sequences.ctypes.data

    @property
    def tokens(self) -> int:
        """The address of the int32 token ids."""
        return self._tokens.ctypes.data

    @property
    def row_starts(self) -> int:
        """The address of B + 1 int32 numbers of rows."""
        return self._row_starts.ctypes.data

    @property
    def page_table(self) -> int:
        """The address of ``[B, max_pages]`` int32 pages."""
        return self._page_table.ctypes.data

    @property
    def state_slots(self) -> int:
        """The address of B int32 slots."""
        return self._state_slots.ctypes.data

    @property
    def output_rows(self) -> int:
        """The address of the int32 rows whose logits are wanted."""
        return self._output_rows.ctypes.data

    def _fill_soft_tokens(self, soft: SoftTokens | None) -> None:
        """Point at the step's own arrays, and keep them until the next step."""
        self._soft_tokens, self._soft_cells[:] = None, 0
        if soft is not None:
            starts = np.ascontiguousarray(soft.starts, np.int64)
            ids = np.ascontiguousarray(soft.ids, np.int32)
            weights = np.ascontiguousarray(soft.weights, np.float32)
            self._soft_tokens = SoftTokens(starts, ids, weights)
            self._soft_cells[:] = starts.ctypes.data, ids.ctypes.data, weights.ctypes.data
