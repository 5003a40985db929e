"""Native functions and how kernels reach their arguments.

A *kernel* is what the table of calls holds: a native function ``(args, thread, num_threads)`` that every
thread calls at the same place of the step. ``args`` is the address of its int64 arguments. A *routine* is
a function that kernels call.

Kernels are compiled when a program first needs them, one object file each, and kept in ``ObjectCache``. They
see raw addresses only: no Python object, no allocation, no exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar, cast

from jackfield_backends.cpu.emit import F32, F64, I64, Value
from jackfield_backends.cpu.operation import f32, i64, nothing, operation

__all__ = [
    "Kernel",
    "KernelFamily",
    "KernelSpec",
    "Routine",
    "arg",
    "float_arg",
    "kernel",
    "kernel_family",
    "load_i64",
    "routine",
    "store_i64",
]

P = ParamSpec("P")
R = TypeVar("R")
Parameter = int | str
KernelFunction = Callable[[int, int, int], None]


@dataclass(frozen=True)
class KernelSpec:
    """Where a kernel comes from, so that another process can make the same one."""

    module: str
    name: str
    parameters: tuple[Parameter, ...] = ()

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.parameters))
        return f"{self.module}:{self.name}" + (f"({shown})" if shown else "")


@dataclass(frozen=True, eq=False)
class Kernel:
    """A function for the table; it is compiled by ``jit.compile_kernel``, not here."""

    spec: KernelSpec
    function: KernelFunction


class KernelFamily(Generic[P]):
    """Kernels of one shape that differ in constants: call it with the constants to get one."""

    def __init__(self, factory: Callable[P, KernelFunction]) -> None:
        self._factory = factory
        self._made: dict[tuple[Parameter, ...], Kernel] = {}
        self.__doc__ = factory.__doc__
        self.__name__ = factory.__name__

    def __call__(self, *parameters: P.args, **keywords: P.kwargs) -> Kernel:
        """Return the kernel of these constants, always the same object."""
        assert not keywords, "a family's constants are positional: they name the kernel"
        values = cast("tuple[Parameter, ...]", parameters)
        if values not in self._made:
            spec = KernelSpec(self._factory.__module__, self.__name__, values)
            self._made[values] = Kernel(spec, self._factory(*parameters, **keywords))
        return self._made[values]


def kernel(function: KernelFunction) -> Kernel:
    """Declare a module's function a kernel."""
    return Kernel(KernelSpec(function.__module__, function.__name__), function)


def kernel_family(factory: Callable[P, KernelFunction]) -> KernelFamily[P]:
    """Declare a factory of kernels; its arguments are plain ints and strings, constants in the code."""
    return KernelFamily(factory)


@dataclass(frozen=True, eq=False)
class Routine(Generic[P, R]):
    """A function that kernels call; the interpreter may call it as well, unless it uses operations."""

    function: Callable[P, R]

    def __call__(self, *parameters: P.args, **keywords: P.kwargs) -> R:
        """Call the function as it is written."""
        return self.function(*parameters, **keywords)


def routine(function: Callable[P, R]) -> Routine[P, R]:
    """Declare a function that kernels call; LLVM inlines it where that pays."""
    return Routine(function)


# Operations, because a routine is compiled once for every constant it is called with.


@operation(i64, i64, i64)
def arg(args: Value, i: Value) -> Value:
    """Return argument ``i`` of a kernel."""
    return (args + i * 8).load(I64)


@operation(f32, i64, i64)
def float_arg(args: Value, i: Value) -> Value:
    """Return argument ``i`` of a kernel, passed as a Python float, as float32."""
    return (args + i * 8).load(F64).signed(F32)


@operation(i64, i64)
def load_i64(address: Value) -> Value:
    """Return the int64 at an address."""
    return address.load(I64)


@operation(nothing, i64, i64)
def store_i64(address: Value, value: Value) -> None:
    """Store an int64 at an address."""
    address.store(value)
