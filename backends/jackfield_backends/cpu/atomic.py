"""Atomic cells, and what a thread does while it waits."""

from __future__ import annotations

import platform
import sys
from typing import Any

from jackfield_backends.cpu.emit import I32, I64, VOID, Value, call, constant
from jackfield_backends.cpu.kernel import routine
from jackfield_backends.cpu.operation import i64, nothing, operation

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


def _cell(address: Value) -> Any:
    return address.pointer(I64)


@operation(i64, i64, i64)
def atomic_add(address: Value, value: Value) -> Value:
    """Add to a cell and return what it held before."""
    return address.new(address.b.atomic_rmw("add", _cell(address), value.v, "seq_cst"))


@operation(i64, i64, i64)
def atomic_exchange(address: Value, value: Value) -> Value:
    """Replace a cell's value and return what it held before."""
    return address.new(address.b.atomic_rmw("xchg", _cell(address), value.v, "seq_cst"))


@operation(i64, i64, i64, i64)
def atomic_replace(address: Value, expected: Value, value: Value) -> Value:
    """Replace a cell's value if it is the expected one, and tell whether it was."""
    found = address.b.cmpxchg(_cell(address), expected.v, value.v, "seq_cst", "seq_cst")
    return address.new(address.b.extract_value(found, 1)).unsigned(I64)


@operation(i64, i64)
def atomic_load(address: Value) -> Value:
    """Read a cell."""
    return address.new(address.b.load_atomic(_cell(address), "seq_cst", 8))


@operation(nothing, i64, i64)
def atomic_store(address: Value, value: Value) -> None:
    """Write a cell."""
    address.b.store_atomic(value.v, _cell(address), "seq_cst", 8)


@operation(nothing)
def pause(builder: Any) -> None:
    """Tell the core that this is a waiting loop, where it can be told."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64", "i686"):
        call(builder, "llvm.x86.sse2.pause", VOID, [])
    elif machine in ("aarch64", "arm64"):
        call(builder, "llvm.aarch64.hint", VOID, [constant(builder, I32, 1)])


@operation(nothing)
def yield_core(builder: Any) -> None:
    """Let another thread of the machine have the core."""
    call(builder, YIELD, I32, [])


@routine
def take(counter: int, size: int) -> int:
    """Take the next ``size`` units of a shared work list; the units are done when it is past the last."""
    first: int = atomic_add(counter, size)
    return first
