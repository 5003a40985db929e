"""The instruction set that kernels are generated for.

One is in force in a process at a time. Intrinsics ask ``current()`` when they generate code, never when
they are typed, so that one source serves every instruction set.

``avx512:written-out`` generates the kernels of AVX-512 with its instructions written out (``written_out.py``), which
run on every machine: to test kernels where the hardware is not at hand.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import llvmlite.binding as llvm

from jackfield.errors import BackendUnavailable, ConfigError, did_you_mean

__all__ = [
    "ENVIRONMENT",
    "Isa",
    "Target",
    "available",
    "current",
    "host_cpu",
    "host_features",
    "named",
    "target",
    "unnoticed_features",
    "use",
]

ENVIRONMENT = "JACKFIELD_CPU_ISA"
WRITTEN_OUT = ":written-out"
CPUINFO = Path("/proc/cpuinfo")


class Isa(StrEnum):
    """What the vector intrinsics may use."""

    AVX512 = "avx512"
    """AVX-512 F, BW, VL and VNNI."""
    AVX2 = "avx2"
    """AVX2, FMA and F16C."""
    NEON = "neon"
    """Arm v8 with the dot product."""
    PORTABLE = "portable"
    """Plain LLVM vectors; right on every machine."""


NEEDS: Mapping[Isa, frozenset[str]] = {
    Isa.AVX512: frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "f16c", "fma"}),
    Isa.AVX2: frozenset({"avx2", "fma", "f16c"}),
    Isa.NEON: frozenset({"neon", "dotprod"}),
    Isa.PORTABLE: frozenset(),
}


@dataclass(frozen=True)
class Target:
    """What kernels are generated for; as a string, what ``named`` reads.

    Attributes:
        isa: The instruction set.
        is_written_out: Whether its instructions are plain LLVM, which every machine runs.
    """

    isa: Isa
    is_written_out: bool = False

    def __str__(self) -> str:
        return f"{self.isa}{WRITTEN_OUT if self.is_written_out else ''}"


_in_force: list[Target] = []


@functools.cache
def host_features() -> frozenset[str]:
    """Return the features the compiler may use here, spelt as LLVM spells them."""
    chosen = os.environ.get("NUMBA_CPU_FEATURES")
    if chosen is not None:
        return frozenset(item[1:] for item in chosen.split(",") if item.startswith("+"))
    if os.environ.get("NUMBA_CPU_NAME") == "generic":
        return frozenset()
    return frozenset(name for name, has in llvm.get_host_cpu_features().items() if has) | unnoticed_features()


def unnoticed_features() -> frozenset[str]:
    """Return what LLVM does not notice of an Arm processor: the dot product on Linux, and anything on a Mac."""
    if not _is_arm():
        return frozenset()
    if sys.platform == "darwin":
        return frozenset({"neon", "dotprod"})  # since the first of them
    try:
        words = CPUINFO.read_text("utf-8").split()
    except OSError:
        words = []
    return frozenset({"dotprod"} if "asimddp" in words else ())


def _is_arm() -> bool:
    return platform.machine().lower() in ("aarch64", "arm64")


def host_cpu() -> str:
    """Return LLVM's name of the processor the compiler aims at."""
    return os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()


def available() -> list[Isa]:
    """Return the instruction sets this machine can run, best first."""
    fitting = (isa for isa in Isa if isa is not Isa.NEON or _is_arm())
    return [isa for isa in fitting if NEEDS[isa] <= host_features()]


def named(name: str) -> Target:
    """Return the target of that name: an instruction set's, and ``:written-out`` if its instructions shall be.

    Raises:
        ConfigError: There is none of that name.
        BackendUnavailable: This machine cannot run it.
    """
    known = [str(isa) for isa in Isa]
    plain = name.removesuffix(WRITTEN_OUT)
    if plain not in known:
        raise ConfigError(
            f"no instruction set named {plain!r}; known: {', '.join(known)}.{did_you_mean(plain, known)}",
            param=ENVIRONMENT,
        )
    found = Target(Isa(plain), is_written_out=name != plain)
    if not found.is_written_out and found.isa not in available():
        usable = ", ".join(available())
        raise BackendUnavailable(
            f"instruction set {name!r} does not run on this {host_cpu()}; use one of: {usable}"
        )
    return found


def target() -> Target:
    """Return the target in force: the one set with ``use``, or the environment's, or the best."""
    if not _in_force:
        asked = os.environ.get(ENVIRONMENT)
        _in_force.append(named(asked) if asked else Target(available()[0]))
    return _in_force[0]


def current() -> Isa:
    """Return the instruction set in force, written out or not."""
    return target().isa


def use(chosen: Target | Isa | None) -> None:
    """Put a target in force for kernels compiled from now on; ``None`` for the default again."""
    if isinstance(chosen, Isa):
        chosen = Target(chosen)
    _in_force[:] = [] if chosen is None else [chosen]
