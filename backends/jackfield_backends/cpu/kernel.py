"""Native functions and how kernels reach their arguments.

A *kernel* is what the table of calls holds: a native function ``(args, thread, num_threads)`` that every
thread calls at the same place of the step. ``args`` is the address of its int64 arguments. A *routine* is a
jitted function that kernels call.

Kernels are compiled when a program first needs them, one object file each, and kept in ``ObjectCache``. They
see raw addresses only: no Python object, no allocation, no exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

import numba
import numba.extending
from llvmlite import ir
from numba import types

__all__ = [
    "OPTIONS",
    "Kernel",
    "KernelFamily",
    "KernelSpec",
    "arg",
    "float_arg",
    "forget_routines",
    "intrinsic",
    "kernel",
    "kernel_family",
    "load_i64",
    "routine",
    "store_i64",
]

SAFE_FASTMATH = {"contract", "nsz"}  # NaN and infinity keep their meaning, and sums their order
OPTIONS: dict[str, Any] = {
    "nopython": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": SAFE_FASTMATH,
}
SIGNATURE = types.void(types.int64, types.int64, types.int64)

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
    """A function for the table; it is compiled by ``compiler.compile_kernels``, not here."""

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


class _Dispatcher(Protocol):
    def _reset_overloads(self) -> None: ...
    def _make_finalizer(self) -> Callable[[], None]: ...


_routines: list[_Dispatcher] = []


def routine(function: Callable[P, R]) -> Callable[P, R]:
    """Declare a function that kernels call; LLVM inlines it where that pays."""
    dispatcher = numba.njit(**{key: value for key, value in OPTIONS.items() if key != "nopython"})(function)
    _routines.append(dispatcher)
    return cast("Callable[P, R]", dispatcher)


def forget_routines() -> None:
    """Drop the compiled forms of all routines: another instruction set is in force."""
    for dispatcher in _routines:
        dispatcher._make_finalizer()()
        dispatcher._reset_overloads()


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare a function that emits LLVM code: ``numba.extending.intrinsic``, typed."""
    return cast("Callable[..., Any]", numba.extending.intrinsic(function))


I64 = ir.IntType(64)
F64 = ir.DoubleType()


def _word(builder: Any, address: Any, element: Any) -> Any:
    return builder.inttoptr(address, element.as_pointer())


def _argument(builder: Any, values: Any, element: Any) -> Any:
    offset = builder.mul(values[1], ir.Constant(I64, 8))
    return builder.load(_word(builder, builder.add(values[0], offset), element), align=8)


# Intrinsics, because a jitted function is compiled once for every constant it is called with.


@intrinsic
def arg(typing_context: Any, args: Any, i: Any) -> Any:
    """Return argument ``i`` of a kernel."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _argument(builder, values, I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def float_arg(typing_context: Any, args: Any, i: Any) -> Any:
    """Return argument ``i`` of a kernel, passed as a Python float, as float32."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fptrunc(_argument(builder, values, F64), ir.FloatType())

    return types.float32(types.int64, types.int64), generate


@intrinsic
def load_i64(typing_context: Any, address: Any) -> Any:
    """Return the int64 at an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_word(builder, values[0], I64), align=8)

    return types.int64(types.int64), generate


@intrinsic
def store_i64(typing_context: Any, address: Any, value: Any) -> Any:
    """Store an int64 at an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[1], _word(builder, values[0], I64), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate
