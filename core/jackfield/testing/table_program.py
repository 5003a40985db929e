"""Programs whose inputs are columns of a table, for tests of ops: token t puts row t of the table in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, SoftTokens, Step, TensorData
from jackfield.program import Buffer, Builder, Program, Rows

__all__ = ["LIMITS", "Body", "FloatTensor", "Span", "TableSteps", "table_program"]

F32 = npt.NDArray[np.float32]
Body = Callable[[Builder, Mapping[str, Buffer]], Buffer]
"""Builds the ops under test from the inputs by name."""
Span = tuple[int, int, int]
"""Rows of the table for a sequence: its number, the first row, the last row + 1."""

LIMITS = Limits(
    num_pages=24,
    page_size=16,
    max_rows=64,
    max_outputs=64,
    max_sequences=4,
    max_context=96,
    num_state_slots=4,
)
PAGES = LIMITS.max_context // LIMITS.page_size


@dataclass(frozen=True)
class FloatTensor:
    """A tensor of a checkpoint that is an array."""

    name: str
    values: F32

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents, slowest first."""
        return self.values.shape

    @property
    def type_name(self) -> str:
        """Plain floats."""
        return "F32"

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """The bytes, as a file has them."""
        return np.ascontiguousarray(self.values).reshape(-1).view(np.uint8)

    def to_float32(self) -> F32:
        """Return the array."""
        return self.values


def table_program(
    inputs: Mapping[str, F32], weights: Mapping[str, F32], body: Body, encoded: Sequence[TensorData] = ()
) -> tuple[Program, dict[str, TensorData]]:
    """Return the program of a body, and its tensors.

    Args:
        inputs: ``[rows, columns]`` each, of as many rows.
        encoded: Tensors beside the weights that are not plain arrays.
    """
    table = np.hstack([np.asarray(part, np.float32) for part in inputs.values()])
    tensors: dict[str, TensorData] = {tensor.name: tensor for tensor in encoded}
    for name, values in {**weights, "table": table}.items():
        tensors[name] = FloatTensor(name, np.asarray(values, np.float32))
    b = Builder("table", tensors)
    rows = b.embed(b.weight("table", *table.shape))
    parts: dict[str, Buffer] = {}
    start = 0
    for name, part in inputs.items():
        parts[name] = b.columns(rows, start, part.shape[1])
        start += part.shape[1]
    out = body(b, parts)
    hidden = out if out.rows is Rows.OUTPUTS else b.select_rows(out)
    return b.finish(hidden, hidden, LIMITS.max_context), tensors


@dataclass
class TableSteps:
    """Makes the steps of sequences 0 to 3, which go on from step to step; their pages are scattered.

    Attributes:
        lengths: Rows that each sequence has had.
    """

    lengths: dict[int, int] = field(default_factory=dict[int, int])

    def make(
        self,
        *spans: Span,
        outputs: Sequence[int] | None = None,
        canvases: Sequence[int] | None = None,
        soft_tokens: SoftTokens | None = None,
    ) -> Step:
        """Return the next step: rows of the table, a span a sequence; one whose rows are a canvas does not grow.

        Args:
            outputs: Rows whose results are wanted; all by default.
            canvases: For each span 1 for a canvas, 0 for text; all text by default.
        """
        counts = [stop - first for _, first, stop in spans]
        starts = [self.lengths.get(sequence, 0) for sequence, _, _ in spans]
        for i, (sequence, _, _) in enumerate(spans):
            if canvases is None or not canvases[i]:
                self.lengths[sequence] = starts[i] + counts[i]
        every = range(sum(counts)) if outputs is None else outputs
        return Step(
            tokens=np.concatenate([np.arange(first, stop) for _, first, stop in spans]).astype(np.int32),
            positions=np.concatenate(
                [np.arange(start, start + count) for start, count in zip(starts, counts, strict=True)]
            ).astype(np.int32),
            row_starts=np.cumsum([0, *counts], dtype=np.int32),
            page_table=np.array([_pages(sequence) for sequence, _, _ in spans], np.int32),
            state_slots=np.array([sequence for sequence, _, _ in spans], np.int32),
            output_rows=np.array(every, np.int32),
            canvases=None if canvases is None else np.array(canvases, np.int32),
            soft_tokens=soft_tokens,
        )


def _pages(sequence: int) -> list[int]:
    return [sequence + LIMITS.max_sequences * (i * 5 % PAGES) for i in range(PAGES)]
