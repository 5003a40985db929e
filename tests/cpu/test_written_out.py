"""Instructions written out in plain LLVM, against a model of each in Python and against the hardware's."""

from __future__ import annotations

import ctypes
import itertools
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
import pytest
from llvmlite import ir

import jackfield_backends.cpu
from jackfield.errors import BackendUnavailable, ConfigError
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.emit import I8, I16, I32, I64, Value, call, lanes_of
from jackfield_backends.cpu.isa import Isa, Target
from jackfield_backends.cpu.written_out import INSTRUCTIONS, call_written_out

pytestmark = pytest.mark.jit

Ints = npt.NDArray[np.int64]
ELEMENTS = {"i8": (I8, np.int8), "i16": (I16, np.int16), "i32": (I32, np.int32)}
EXTREMES = {
    "i8": [-128, -127, -1, 0, 1, 2, 127],
    "i16": [-(2**15), -1, 0, 1, 2**15 - 1],
    "i32": [0, 1, -(2**31)],
}


def dot_of_fours(total: Ints, x: Ints, y: Ints) -> Ints:
    return total + (x * y).reshape(-1, 4).sum(axis=1)


def vpdpbusd(total: Ints, u: Ints, a: Ints) -> Ints:
    return dot_of_fours(total, u & 255, a)


def pmaddubsw(u: Ints, a: Ints) -> Ints:
    return ((u & 255) * a).reshape(-1, 2).sum(axis=1).clip(-(2**15), 2**15 - 1)


def pmaddwd(x: Ints, y: Ints) -> Ints:
    return (x * y).reshape(-1, 2).sum(axis=1)


def psignb(x: Ints, sign: Ints) -> Ints:
    return x * np.sign(sign)


def pshufb(table: Ints, indices: Ints) -> Ints:
    lanes = np.arange(len(indices)) // 16 * 16
    return np.where(indices < 0, 0, table[lanes + (indices & 15)])


def tbl1(table: Ints, indices: Ints) -> Ints:
    return np.where((indices & 255) < 16, table[indices & 15], 0)


Shape = tuple[str, int]
MODELS: dict[str, tuple[Callable[..., Ints], Shape, list[Shape]]] = {
    **{
        f"llvm.x86.avx512.vpdpbusd.{8 * n}": (
            vpdpbusd,
            ("i32", n // 4),
            [("i32", n // 4), ("i8", n), ("i8", n)],
        )
        for n in (16, 32, 64)
    },
    "llvm.x86.avx512.pshuf.b.512": (pshufb, ("i8", 64), [("i8", 64)] * 2),
    "llvm.x86.avx2.pshuf.b": (pshufb, ("i8", 32), [("i8", 32)] * 2),
    "llvm.x86.ssse3.pshuf.b.128": (pshufb, ("i8", 16), [("i8", 16)] * 2),
    "llvm.x86.avx2.pmadd.ub.sw": (pmaddubsw, ("i16", 16), [("i8", 32)] * 2),
    "llvm.x86.avx2.pmadd.wd": (pmaddwd, ("i32", 8), [("i16", 16)] * 2),
    "llvm.x86.avx2.psign.b": (psignb, ("i8", 32), [("i8", 32)] * 2),
    "llvm.aarch64.neon.sdot.v4i32.v16i8": (dot_of_fours, ("i32", 4), [("i32", 4), ("i8", 16), ("i8", 16)]),
    "llvm.aarch64.neon.tbl1.v16i8": (tbl1, ("i8", 16), [("i8", 16)] * 2),
}
NEEDED = {"avx512": "avx512vnni", "avx2": "avx2", "ssse3": "ssse3", "neon": "dotprod"}


def is_real(name: str) -> bool:
    """Return whether this machine has the instruction."""
    machine, extension = name.split(".")[1:3]
    is_arm = platform.machine().lower() in ("aarch64", "arm64")
    return is_arm == (machine == "aarch64") and NEEDED[extension] in isa.host_features()


def native(emit: Callable[..., Value], result: Shape, parameters: list[Shape]) -> Callable[..., Ints]:
    """Compile one instruction to a function of arrays."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * (1 + len(parameters))), "run")
    builder = ir.IRBuilder(function.append_basic_block())
    out, *places = (Value(builder, argument) for argument in function.args)
    loaded = [place.load(ELEMENTS[kind][0], n) for place, (kind, n) in zip(places, parameters, strict=True)]
    out.store(emit(lanes_of(ELEMENTS[result[0]][0], result[1]), loaded))
    builder.ret_void()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, jit=True
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
    engine.finalize_object()
    address = engine.get_function_address("run")
    entry = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (1 + len(parameters)))(address)

    def run(*arguments: Ints) -> Ints:
        arrays = [np.zeros(result[1], ELEMENTS[result[0]][1])]
        arrays += [a.astype(ELEMENTS[kind][1]) for a, (kind, _) in zip(arguments, parameters, strict=True)]
        entry(*(array.ctypes.data for array in arrays))
        assert engine is not None  # it owns the code
        return arrays[0].astype(np.int64)

    return run


def cases(parameters: list[Shape]) -> Iterator[list[Ints]]:
    """Yield arguments: every pair of extremes in every lane, then random bits."""
    generator = np.random.default_rng(0)
    for choice in itertools.product(*(EXTREMES[kind] for kind, _ in parameters)):
        yield [np.full(n, value) for value, (_, n) in zip(choice, parameters, strict=True)]
    for _ in range(50):
        yield [generator.choice(EXTREMES[kind], n) for kind, n in parameters]
    for _ in range(200):
        limits = [np.iinfo(ELEMENTS[kind][1]) for kind, _ in parameters]
        yield [
            generator.integers(limit.min, limit.max, n, endpoint=True)
            for limit, (_, n) in zip(limits, parameters, strict=True)
        ]


def wrapped(values: Ints, kind: str) -> Ints:
    return values.astype(ELEMENTS[kind][1]).astype(np.int64)


def test_every_instruction_has_a_model() -> None:
    assert MODELS.keys() == INSTRUCTIONS.keys()


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_an_instruction_written_out_does_what_its_model_says(name: str) -> None:
    """And what the hardware's does, where this machine has it."""
    model, result, parameters = MODELS[name]
    forms = [native(lambda kind, arguments: call_written_out(name, kind, arguments), result, parameters)]
    if is_real(name):
        forms.append(
            native(lambda kind, arguments: call(arguments[0].b, name, kind, arguments), result, parameters)
        )
    for arguments in cases(parameters):
        expected = wrapped(model(*arguments), result[0])
        for form in forms:
            np.testing.assert_array_equal(form(*arguments), expected)


def test_only_the_table_of_instructions_names_any_of_the_hardware() -> None:
    """So that none escapes being written out; the pause of a waiting thread is this machine's own."""
    folder = Path(jackfield_backends.cpu.__file__).parent
    naming = {
        file.name for file in folder.rglob("*.py") if re.search(r"llvm\.(x86|aarch64)\.", file.read_text())
    }
    assert naming == {"instructions.py", "written_out.py", "atomic.py"}


# ---- asking for it -------------------------------------------------------------------------------


def test_a_written_out_set_is_named_and_runs_anywhere(monkeypatch) -> None:
    monkeypatch.setattr(isa, "available", lambda: [Isa.PORTABLE])
    for each in Isa:
        target = isa.named(f"{each}:written-out")
        assert target == Target(each, is_written_out=True)
        assert str(target) == f"{each}:written-out"
    with pytest.raises(BackendUnavailable, match="instruction set 'neon' does not run on this"):
        isa.named("neon")
    with pytest.raises(ConfigError, match="no instruction set named 'avx512:written'"):
        isa.named("avx512:written")


def test_the_environment_asks_for_it(monkeypatch) -> None:
    monkeypatch.setattr(isa, "_in_force", [])
    monkeypatch.setenv("JACKFIELD_CPU_ISA", "neon:written-out")
    assert isa.target() == Target(Isa.NEON, is_written_out=True)
    assert isa.current() is Isa.NEON
