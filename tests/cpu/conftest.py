"""The same program on the reference and on the cpu backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.backend import Executable, SoftTokens, Step, TensorData
from jackfield.descriptors import OpDescriptor
from jackfield.gguf import dequantize
from jackfield.program import Program
from jackfield.testing.table_program import LIMITS, Body, Span, TableSteps, table_program
from jackfield_backends.cpu import isa as instruction_sets
from jackfield_backends.cpu.backend import CpuBackend
from jackfield_backends.cpu.isa import Isa, Target
from jackfield_backends.reference.backend import ReferenceBackend

F32 = npt.NDArray[np.float32]


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
    """One program, open on both backends; a step must give the same rows on both."""

    cpu: Executable
    reference: Executable
    steps: TableSteps

    def step(self, *spans: Span, outputs: Sequence[int] | None = None) -> tuple[F32, F32]:
        """Run rows of the table on both."""
        return self.run(self.steps.make(*spans, outputs=outputs))

    def refine(
        self, *spans: Span, canvases: Sequence[int], soft_tokens: SoftTokens | None = None
    ) -> tuple[F32, F32]:
        """Run a step in which the rows of some spans are a canvas."""
        return self.run(self.steps.make(*spans, canvases=canvases, soft_tokens=soft_tokens))

    def run(self, step: Step) -> tuple[F32, F32]:
        """Run a step on both."""
        return self.cpu.step(step).copy(), self.reference.step(step).copy()


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
        program, found = table_program(inputs, weights, body, tensors)
        program = replace(program, plugin_ops={descriptor.load(): descriptor for descriptor in plugin_ops})
        chosen = replace(LIMITS, **limits)
        cpu = CpuBackend(isa).open(program, found, chosen)
        opened.append(Pair(cpu, ReferenceBackend().open(program, found, chosen), TableSteps()))
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
def make() -> Callable[..., tuple[Program, dict[str, TensorData]]]:
    return table_program


@pytest.fixture
def block_tensor() -> type[BlockTensor]:
    return BlockTensor


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    return tmp_path / "kernels"
