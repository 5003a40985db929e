"""A step's calls one at a time, to see where its time goes.

Every call is a table of its own here, so that all threads begin and end it together. Entering and leaving native
code then costs some microseconds a call that an ordinary step spends once; an empty table tells how many, and they
are taken off. What stays is that threads meet after calls that have no barrier in an ordinary step.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from jackfield.backend import CallTime
from jackfield.program import Op
from jackfield_backends.cpu.kernel import Kernel
from jackfield_backends.cpu.lowering import PythonCall
from jackfield_backends.cpu.memory import Arena
from jackfield_backends.cpu.table import Call, CallTable

__all__ = ["TimedCalls"]

Run = Callable[[CallTable | Op], None]
NUM_EMPTY = 15


class TimedCalls:
    """The calls of one executable, each a table of its own."""

    def __init__(
        self, calls: Sequence[Call | PythonCall], addresses: Mapping[Kernel, int], memory: Arena
    ) -> None:
        self._empty = CallTable([], addresses, memory)
        self._steps = [(call, _alone(call, addresses, memory)) for call in calls]

    def run(self, run: Run) -> tuple[list[CallTime], float]:
        """Run and time every call; return the seconds that entering native code takes as well."""
        entering_s = statistics.median(_seconds(run, self._empty) for _ in range(NUM_EMPTY))
        times = [_time_of(call, max(0.0, _seconds(run, part) - entering_s)) for call, part in self._steps]
        return times, entering_s


def _alone(call: Call | PythonCall, addresses: Mapping[Kernel, int], memory: Arena) -> CallTable | Op:
    return CallTable([call], addresses, memory) if isinstance(call, Call) else call.op


def _seconds(run: Run, part: CallTable | Op) -> float:
    started_s = time.perf_counter()
    run(part)
    return time.perf_counter() - started_s


def _time_of(call: Call | PythonCall, seconds: float) -> CallTime:
    if isinstance(call, PythonCall):
        return CallTime(type(call.op).__name__, (call.op,), call.op.weights, seconds)
    return CallTime(call.kernel.spec.name, call.origin.ops, call.origin.weights, seconds)
