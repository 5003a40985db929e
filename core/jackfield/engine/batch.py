"""Lay out a step's tables from the sequences that take part.

Dimension letters: T token rows, B sequences, R output rows.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, SoftTokens, Step
from jackfield.engine.canvas import Canvas
from jackfield.engine.sequence import Sequence

__all__ = ["Batch", "Scheduled"]

I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Scheduled:
    """A sequence's part in a step: its next ``num_rows`` rows, the last ``num_outputs`` with results.

    Attributes:
        canvas: What the rows are, if they are no text: they do not become part of the sequence.
    """

    sequence: Sequence
    num_rows: int
    num_outputs: int
    canvas: Canvas | None = None


class Batch:
    """Own the page table and the arrays of a step, which the next step overwrites.

    Args:
        max_sequences: Lanes: sequences that may run.
        max_pages: Most pages of one sequence.
    """

    def __init__(self, limits: Limits, max_sequences: int, max_pages: int) -> None:
        self._lanes = list(range(max_sequences - 1, -1, -1))
        self._table = np.zeros((max_sequences, max_pages), np.int32)
        self._tokens = np.zeros(limits.max_rows, np.int32)
        self._positions = np.zeros(limits.max_rows, np.int32)
        self._row_starts = np.zeros(max_sequences + 1, np.int32)
        self._slots = np.zeros(max_sequences, np.int32)
        self._outputs = np.zeros(limits.max_outputs, np.int32)
        self._counting = np.arange(limits.max_rows, dtype=np.int32)

    def enter(self, sequence: Sequence) -> None:
        """Give a sequence a lane."""
        sequence.lane = self._lanes.pop()
        sequence.num_tabled = 0

    def leave(self, sequence: Sequence) -> None:
        """Take its lane back."""
        self._table[sequence.lane] = 0
        self._lanes.append(sequence.lane)
        sequence.lane = -1

    def assemble(self, plan: Items[Scheduled]) -> Step:
        """Return the step in which these sequences take their next rows."""
        row = out = 0
        for place, part in enumerate(plan):
            sequence, stop = part.sequence, row + part.num_rows
            self._fill(sequence, row, stop)
            self._slots[place] = sequence.slot or 0
            for output in range(stop - part.num_outputs, stop):
                self._outputs[out] = output
                out += 1
            row = self._row_starts[place + 1] = stop
        return Step(
            tokens=self._tokens[:row],
            positions=self._positions[:row],
            row_starts=self._row_starts[: len(plan) + 1],
            page_table=self._table[[part.sequence.lane for part in plan]],
            state_slots=self._slots[: len(plan)],
            output_rows=self._outputs[:out],
            canvases=_canvases(plan),
            soft_tokens=_soft_tokens(plan),
        )

    def check(self, lanes: list[int]) -> None:
        """Assert that each lane is free or one of these."""
        everywhere = sorted([*lanes, *self._lanes])
        assert everywhere == list(range(self._table.shape[0])), f"lanes are lost or held twice: {everywhere}"
        assert not self._table[self._lanes].any(), "a free lane names pages"

    def _fill(self, sequence: Sequence, start: int, stop: int) -> None:
        first = sequence.num_computed
        if stop - start == 1:
            self._tokens[start] = sequence.tokens[first]
            self._positions[start] = first
        else:
            self._tokens[start:stop] = sequence.tokens[first : first + stop - start]
            np.add(self._counting[: stop - start], first, out=self._positions[start:stop])
        if sequence.num_tabled < len(sequence.pages):
            fresh = sequence.pages[sequence.num_tabled :]
            self._table[sequence.lane, sequence.num_tabled : len(sequence.pages)] = fresh
            sequence.num_tabled = len(sequence.pages)


def _canvases(plan: Items[Scheduled]) -> I32 | None:
    if all(part.canvas is None for part in plan):
        return None
    return np.array([part.canvas is not None for part in plan], np.int32)


def _soft_tokens(plan: Items[Scheduled]) -> SoftTokens | None:
    """Put the canvases' distributions side by side; rows of text have none."""
    known = [part.canvas.soft if part.canvas is not None else None for part in plan]
    given = [soft for soft in known if soft is not None]
    if not given:
        return None
    counts = [
        np.zeros(part.num_rows, np.int64) if soft is None else np.diff(soft.starts)
        for part, soft in zip(plan, known, strict=True)
    ]
    return SoftTokens(
        starts=np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))]),
        ids=np.concatenate([soft.ids for soft in given]),
        weights=np.concatenate([soft.weights for soft in given]),
    )
