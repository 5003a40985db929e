"""Atomic cells, and what a thread does while it waits."""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from jackfield_backends.cpu.kernel import I64, intrinsic, routine

__all__ = [
    "atomic_add",
    "atomic_exchange",
    "atomic_load",
    "atomic_replace",
    "atomic_store",
    "pause",
    "take",
    "yield_core",
]

YIELD = "SwitchToThread" if sys.platform == "win32" else "sched_yield"

VOID = ir.VoidType()
I32 = ir.IntType(32)


def _cell(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, I64.as_pointer())


@intrinsic
def atomic_add(typing_context: Any, address: Any, value: Any) -> Any:
    """Add to a cell and return what it held before."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("add", _cell(builder, values[0]), values[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def atomic_exchange(typing_context: Any, address: Any, value: Any) -> Any:
    """Replace a cell's value and return what it held before."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("xchg", _cell(builder, values[0]), values[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def atomic_replace(typing_context: Any, address: Any, expected: Any, value: Any) -> Any:
    """Replace a cell's value if it is the expected one, and tell whether it was."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        cell = _cell(builder, values[0])
        found = builder.cmpxchg(cell, values[1], values[2], "seq_cst", "seq_cst")
        return builder.zext(builder.extract_value(found, 1), I64)

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def atomic_load(typing_context: Any, address: Any) -> Any:
    """Read a cell."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_cell(builder, values[0]), "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def atomic_store(typing_context: Any, address: Any, value: Any) -> Any:
    """Write a cell."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store_atomic(values[1], _cell(builder, values[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def pause(typing_context: Any) -> Any:
    """Tell the core that this is a waiting loop, where it can be told."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        machine = platform.machine().lower()
        if machine in ("x86_64", "amd64", "i686"):
            _call(builder, "llvm.x86.sse2.pause", VOID, [])
        elif machine in ("aarch64", "arm64"):
            _call(builder, "llvm.aarch64.hint", VOID, [ir.Constant(I32, 1)])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def yield_core(typing_context: Any) -> Any:
    """Let another thread of the machine have the core."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _call(builder, YIELD, I32, [])
        return context.get_dummy_value()

    return types.void(), generate


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> None:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@routine
def take(counter: int, size: int) -> int:
    """Take the next ``size`` units of a shared work list; the units are done when it is past the last."""
    first: int = atomic_add(counter, size)
    return first
