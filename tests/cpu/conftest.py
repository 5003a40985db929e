"""The same program on the reference and on the cpu backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.backend import Executable, Limits, SoftTokens, Step
from jackfield.descriptors import OpDescriptor
from jackfield.gguf import dequantize
from jackfield.program import Buffer, Builder, Program, Rows
from jackfield_backends.cpu import isa as instruction_sets
from jackfield_backends.cpu.backend import CpuBackend
from jackfield_backends.cpu.isa import Isa, Target
from jackfield_backends.reference.backend import ReferenceBackend

F32 = npt.NDArray[np.float32]
Body = Callable[[Builder, Mapping[str, Buffer]], Buffer]
Span = tuple[int, int, int]
LIMITS = Limits(
    num_pages=24,
    page_size=16,
    max_rows=64,
    max_outputs=64,
    max_sequences=4,
    max_context=96,
    num_state_slots=4,
)
PAGES = 6


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


@dataclass(frozen=True)
class BlockTensor:
    """A tensor of a checkpoint in a block format."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    data: npt.NDArray[np.uint8]

    def to_float32(self) -> F32:
        return dequantize(self.type_name, self.data, math.prod(self.shape)).reshape(self.shape)


@dataclass
class Pair:
    """One program, open on both backends; a step must give the same rows on both.

    Sequences have names 0 to 3 and go on from step to step; their pages are scattered.
    """

    cpu: Executable
    reference: Executable
    lengths: dict[int, int]

    def step(self, *spans: Span, outputs: Sequence[int] | None = None) -> tuple[F32, F32]:
        """Run rows of the table on both: each span is (sequence, first row, last row + 1)."""
        return self.run(self.make_step(*spans, outputs=outputs))

    def refine(
        self, *spans: Span, canvases: Sequence[int], soft_tokens: SoftTokens | None = None
    ) -> tuple[F32, F32]:
        """Run a step in which the rows of some spans are a canvas; those sequences do not grow."""
        lengths = dict(self.lengths)
        step = replace(self.make_step(*spans), canvases=np.array(canvases, np.int32), soft_tokens=soft_tokens)
        for (sequence, _, _), is_canvas in zip(spans, canvases, strict=True):
            if is_canvas:
                self.lengths[sequence] = lengths.get(sequence, 0)
        return self.run(step)

    def run(self, step: Step) -> tuple[F32, F32]:
        """Run a step on both."""
        return self.cpu.step(step).copy(), self.reference.step(step).copy()

    def make_step(self, *spans: Span, outputs: Sequence[int] | None = None) -> Step:
        """Return the next step of some sequences."""
        starts = [self.lengths.get(sequence, 0) for sequence, _, _ in spans]
        counts = [stop - first for _, first, stop in spans]
        ranges = [np.arange(first, stop) for _, first, stop in spans]
        positions = [np.arange(s, s + c) for s, c in zip(starts, counts, strict=True)]
        for (sequence, _, _), start, count in zip(spans, starts, counts, strict=True):
            self.lengths[sequence] = start + count
        every = range(sum(counts)) if outputs is None else outputs
        return Step(
            tokens=np.concatenate(ranges).astype(np.int32),
            positions=np.concatenate(positions).astype(np.int32),
            row_starts=np.cumsum([0, *counts], dtype=np.int32),
            page_table=np.array(
                [[s + 4 * (i * 5 % PAGES) for i in range(PAGES)] for s, _, _ in spans], np.int32
            ),
            state_slots=np.array([sequence for sequence, _, _ in spans], np.int32),
            output_rows=np.array(every, np.int32),
        )


def make_program(
    inputs: Mapping[str, F32],
    weights: Mapping[str, F32],
    body: Body,
    encoded: Sequence[BlockTensor] = (),
) -> tuple[Program, dict[str, FloatTensor | BlockTensor]]:
    """Return a program whose inputs are columns of an embedding: token t is row t."""
    table = np.hstack([np.asarray(part, np.float32) for part in inputs.values()])
    tensors: dict[str, FloatTensor | BlockTensor] = {tensor.name: tensor for tensor in encoded}
    for name, values in weights.items():
        tensors[name] = FloatTensor(name, np.asarray(values, np.float32))
    tensors["table"] = FloatTensor("table", table)
    b = Builder("pair", tensors)
    rows = b.embed(b.weight("table", *table.shape))
    parts, start = {}, 0
    for name, part in inputs.items():
        parts[name] = b.columns(rows, start, part.shape[1])
        start += part.shape[1]
    out = body(b, parts)
    hidden = out if out.rows is Rows.OUTPUTS else b.select_rows(out)
    return b.finish(hidden, hidden, 96), tensors


PairOf = Callable[..., Pair]


@pytest.fixture
def pair() -> Iterator[PairOf]:
    """Return what opens a program on both backends: ``pair(inputs, weights, body, **limits)``."""
    opened: list[Pair] = []

    def open_pair(
        inputs: Mapping[str, F32],
        weights: Mapping[str, F32],
        body: Body,
        *,
        isa: str | None = None,
        tensors: Sequence[BlockTensor] = (),
        plugin_ops: Sequence[OpDescriptor] = (),
        **limits: object,
    ) -> Pair:
        program, found = make_program(inputs, weights, body, tensors)
        program = replace(program, plugin_ops={descriptor.load(): descriptor for descriptor in plugin_ops})
        chosen = replace(LIMITS, **limits)
        cpu = CpuBackend(isa).open(program, found, chosen)
        opened.append(Pair(cpu, ReferenceBackend().open(program, found, chosen), {}))
        return opened[-1]

    yield open_pair
    for each in opened:
        each.cpu.close()


@pytest.fixture(params=list(Isa))
def every_isa(request: pytest.FixtureRequest) -> Iterator[Isa]:
    """Put an instruction set in force, written out where this machine lacks it."""
    instruction_sets.use(
        Target(request.param, is_written_out=request.param not in instruction_sets.available())
    )
    yield request.param
    instruction_sets.use(None)


@pytest.fixture(autouse=True)
def every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give small steps all their threads, so that tests see them work together."""
    monkeypatch.setattr("jackfield_backends.cpu.effort.WORTH_S", 0.0)


@pytest.fixture
def make() -> Callable[..., tuple[Program, dict[str, FloatTensor | BlockTensor]]]:
    return make_program


@pytest.fixture
def block_tensor() -> type[BlockTensor]:
    return BlockTensor


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    return tmp_path / "kernels"
