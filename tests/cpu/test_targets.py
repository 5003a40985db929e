"""Kernels for processors that are not here: compiled by a child that takes itself for one, and never run."""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import llvmlite.binding as llvm
import msgspec
import numpy as np
import pytest

from jackfield.program import Buffer, Weight
from jackfield.program.ops import Linear
from jackfield.testing.blocks import encode
from jackfield_backends.cpu import isa, workbench
from jackfield_backends.cpu.compiler import Answer
from jackfield_backends.cpu.isa import NEEDS, Isa, Target
from jackfield_backends.cpu.linear import lower_linears
from jackfield_backends.cpu.workbench import Workbench

pytestmark = pytest.mark.jit


@dataclass(frozen=True)
class Processor:
    """A processor and the instruction set it runs.

    Attributes:
        features: What LLVM notices of it.
        cpuinfo: What Linux says.
        elf_machine: How object files name it, ELF's ``e_machine``.
    """

    triple: str
    name: str
    isa: Isa
    features: tuple[str, ...]
    cpuinfo: str
    elf_machine: int


PROCESSORS = [
    Processor("x86_64-unknown-linux-gnu", "znver4", Isa.AVX512, tuple(NEEDS[Isa.AVX512]), "", 62),
    # a name that does not tell LLVM of the dot product, as that of a processor it does not know
    Processor("aarch64-unknown-linux-gnu", "cortex-a72", Isa.NEON, ("neon", "crc"), "fp asimd asimddp", 183),
]
CHILD = """
import pathlib, platform, sys
import llvmlite.binding as llvm
from llvmlite.binding.targets import FeatureMap
triple, features, cpuinfo = sys.argv[1:]
platform.machine = lambda: triple.partition("-")[0]
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
llvm.get_process_triple = llvm.get_default_triple = lambda: triple
llvm.get_host_cpu_features = lambda: FeatureMap(dict.fromkeys(features.split(), True))
from jackfield_backends.cpu import isa
isa.CPUINFO = pathlib.Path(cpuinfo)
from jackfield_backends.cpu import compiler
compiler.main()
"""


@dataclass
class Tensor:
    type_name: str
    shape: tuple[int, int]
    data: np.ndarray


@dataclass
class Wanted(Exception):
    kernels: list


def kernels_of_a_product(monkeypatch, chosen: Isa, type_name: str) -> list:
    """Return the kernels that a product needs on an instruction set."""

    def want(kernels, cache):
        raise Wanted(list(dict.fromkeys(kernels)))

    width, num_rows = 256, 32
    generator = np.random.default_rng(0)
    data = encode(generator.standard_normal((num_rows, width)).astype(np.float32), type_name, generator)
    tensor = Tensor(type_name, (num_rows, width), data)
    x, out = Buffer(0, width), Buffer(1, num_rows)
    op = Linear(x, Weight("w", tensor.shape), None, None, out)
    monkeypatch.setattr(workbench, "addresses_of", want)
    isa.use(Target(chosen, is_written_out=True))
    try:
        with pytest.raises(Wanted) as caught:
            Workbench(lambda lowering: lower_linears(lowering, [op]), [x, out], {"w": tensor}, 31)
    finally:
        isa.use(None)
    return caught.value.kernels


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda processor: processor.name)
def test_a_product_compiles(monkeypatch, tmp_path: Path, processor: Processor) -> None:
    """Instructions have the types that LLVM wants, and every vector between them can be split."""
    llvm.initialize_all_targets()
    try:
        llvm.Target.from_triple(processor.triple)
    except RuntimeError:
        pytest.skip(f"this llvmlite cannot compile for {processor.triple}")
    kernels = kernels_of_a_product(monkeypatch, processor.isa, "IQ4_NL")
    assert len(kernels) > 5
    monkeypatch.setenv("NUMBA_CPU_NAME", processor.name)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"Features\t: {processor.cpuinfo}\n", "utf-8")
    monkeypatch.setenv("JACKFIELD_CPU_ISA", str(processor.isa))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, processor.triple, " ".join(processor.features), cpuinfo],
        input="".join(msgspec.json.encode(kernel.spec).decode() + "\n" for kernel in kernels),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    answers = [msgspec.json.decode(line, type=Answer) for line in child.stdout.splitlines()]
    assert len(answers) == len(kernels)
    for kernel, answer in zip(kernels, answers, strict=True):
        assert not answer.error
        elf = base64.b64decode(answer.data)
        assert int.from_bytes(elf[18:20], "little") == processor.elf_machine, str(kernel.spec)
        assert b"llvm." not in elf, "an intrinsic that LLVM does not know is called as a function"
