"""Ops one at a time: a program of one op, opened on the reference backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.backend import Limits, SoftTokens, Step
from jackfield.program import Buffer, Builder, Weight
from jackfield_backends.reference.backend import ReferenceBackend
from jackfield_backends.reference.executable import ReferenceExecutable

F32 = npt.NDArray[np.float32]
Body = Callable[[Builder, Mapping[str, Buffer]], Buffer]


@dataclass(frozen=True)
class FloatTensor:
    """A tensor of a checkpoint that is an array."""

    name: str
    values: F32

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def type_name(self) -> str:
        return "F32"

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        return np.ascontiguousarray(self.values).reshape(-1).view(np.uint8)

    def to_float32(self) -> F32:
        return self.values


class Bench:
    """Run one op on given rows: inputs are columns of an embedding whose token t is row t.

    Sequences are given by their lengths; positions go on from step to step.
    """

    def __init__(self, inputs: Mapping[str, F32], weights: Mapping[str, F32], body: Body) -> None:
        table = np.hstack([np.asarray(part, np.float32) for part in inputs.values()])
        tensors = {
            name: FloatTensor(name, np.asarray(values, np.float32)) for name, values in weights.items()
        }
        tensors["table"] = FloatTensor("table", table)
        b = Builder("bench", tensors)
        rows = b.embed(b.weight("table", *table.shape))
        parts, start = {}, 0
        for name, part in inputs.items():
            parts[name] = b.columns(rows, start, part.shape[1])
            start += part.shape[1]
        out = body(b, parts)
        hidden = b.select_rows(out)
        program = b.finish(hidden, hidden, 64)
        limits = Limits(num_pages=12, page_size=16, num_state_slots=3)
        self.executable: ReferenceExecutable = ReferenceBackend().open(program, tensors, limits)
        self._lengths: dict[int, int] = {}

    def step(
        self,
        *spans: tuple[int, int, int],
        canvases: Sequence[int] | None = None,
        soft_tokens: SoftTokens | None = None,
    ) -> F32:
        """Run rows of the table: each span is (sequence, first row, last row + 1)."""
        starts = [self._lengths.get(sequence, 0) for sequence, _, _ in spans]
        counts = [stop - first for _, first, stop in spans]
        step = Step(
            tokens=np.concatenate([np.arange(first, stop) for _, first, stop in spans]).astype(np.int32),
            positions=np.concatenate(
                [np.arange(start, start + count) for start, count in zip(starts, counts, strict=True)]
            ).astype(np.int32),
            row_starts=np.cumsum([0, *counts], dtype=np.int32),
            page_table=np.array([[4 * s + 3, 4 * s, 4 * s + 2, 4 * s + 1] for s, _, _ in spans], np.int32),
            state_slots=np.array([sequence for sequence, _, _ in spans], np.int32),
            output_rows=np.arange(sum(counts), dtype=np.int32),
            canvases=None if canvases is None else np.array(canvases, np.int32),
            soft_tokens=soft_tokens,
        )
        for (sequence, _, _), start, count in zip(spans, starts, counts, strict=True):
            self._lengths[sequence] = start + count
        return self.executable.step(step).copy()


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def bench() -> type[Bench]:
    return Bench


@pytest.fixture
def weight() -> Callable[..., Weight]:
    return Weight
