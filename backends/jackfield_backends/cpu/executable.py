"""A program, opened: tables of calls, the threads that walk them, and the memory they work on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, MemoryEstimate, OpenProgress, Step, StepTimes, WeightSource
from jackfield.errors import BackendError
from jackfield.program import Op, Program
from jackfield.program.ops import Embed, SoftEmbed
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.cache import ObjectCache
from jackfield_backends.cpu.effort import effort_of
from jackfield_backends.cpu.interpreted import InterpretedInputs, references_of
from jackfield_backends.cpu.kernel import Kernel
from jackfield_backends.cpu.linking import addresses_of
from jackfield_backends.cpu.lower import lower_ops
from jackfield_backends.cpu.lowering import Lowering, PythonCall
from jackfield_backends.cpu.memory import Arena
from jackfield_backends.cpu.passes import rewrite
from jackfield_backends.cpu.plan import Plan
from jackfield_backends.cpu.storage import Storage, memory_estimate, plan_buffers
from jackfield_backends.cpu.table import DRIVERS, Call, CallTable, Crew
from jackfield_backends.cpu.tables import StepTables
from jackfield_backends.cpu.timing import TimedCalls

__all__ = ["CpuExecutable", "Surveyed", "survey_program"]

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Surveyed:
    """What is known of a program before any memory is taken."""

    program: Program
    weights: WeightSource
    limits: Limits
    ops: list[Op]
    plan: Plan
    other_bytes: int

    def estimate(self, num_pages: int) -> MemoryEstimate:
        """Return the memory it would take with that many pages."""
        names = self.program.weight_names()
        mapped = sum(self.weights[name].data.nbytes for name in names)
        limits = replace(self.limits, num_pages=num_pages)
        return memory_estimate(self.program, self.plan, limits, mapped, self.other_bytes)


def survey_program(program: Program, weights: WeightSource, limits: Limits) -> Surveyed:
    """Lower a program once without places, to learn what it needs."""
    memory = Arena()
    ops = rewrite(program.ops, (program.logits, program.hidden))
    survey = Lowering(weights, limits, StepTables(limits, memory), memory, None)
    lower_ops(ops, program, survey)
    other = memory.num_bytes + survey.scratch_bytes * limits.num_threads
    return Surveyed(program, weights, limits, ops, plan_buffers(ops, program, limits, survey), other)


class CpuExecutable:
    """Satisfies ``jackfield.backend.Executable``."""

    def __init__(
        self,
        program: Program,
        weights: WeightSource,
        limits: Limits,
        surveyed: Surveyed,
        cache: ObjectCache,
        progress: OpenProgress | None,
    ) -> None:
        self._program = program
        self._limits = limits
        self._weights = weights  # kernels read the mapped file
        self._memory = Arena()
        self._tables = StepTables(limits, self._memory)
        self._storage = Storage(program, surveyed.plan, limits, self._memory)
        lowering = Lowering(weights, limits, self._tables, self._memory, self._storage.places)
        lower_ops(surveyed.ops, program, lowering)
        scratch = self._memory.take(lowering.scratch_bytes * limits.num_threads, "scratch")
        calls, self._counters = lowering.finish(scratch)
        self._calls, self._addresses = calls, addresses_of(_kernels(calls), cache, progress)
        self._stretches = _stretches(calls, self._addresses, self._memory)
        interpreted = {type(stretch) for stretch in self._stretches if isinstance(stretch, Op)}
        self._references = references_of(program, interpreted)
        self._inputs = InterpretedInputs(self._storage, limits, weights, _EMPTY)
        drivers = [self._addresses[driver] for driver in DRIVERS]
        self._crew = Crew(drivers, limits.num_threads, self._memory)
        self._effort = effort_of(surveyed.ops, weights, sum(_has_barrier(call) for call in calls))
        self._facts = _facts(limits, calls, self._memory, cache)
        tables = [op.weight.shape[0] for op in program.ops if isinstance(op, Embed | SoftEmbed)]
        self._num_tokens = min(tables, default=program.vocab_size)
        self._num_outputs = 0
        self._timed: TimedCalls | None = None

    def step(self, step: Step) -> F32:
        """Run the program and return the logits ``[R, V]``, valid until the next call."""
        alone = self._begin(step)
        for stretch in self._stretches:
            self._run(stretch, alone)
        return self._logits()

    def time_step(self, step: Step) -> StepTimes:
        """Run a step call by call, and time each."""
        if self._timed is None:
            self._timed = TimedCalls(self._calls, self._addresses, self._memory)
        started_s = time.perf_counter()
        alone = self._begin(step)
        own_s = time.perf_counter() - started_s
        calls, entering_s = self._timed.run(lambda stretch: self._run(stretch, alone))
        return StepTimes(self._logits(), calls, own_s + entering_s * len(self._stretches))

    def _begin(self, step: Step) -> bool:
        """Lay a step out for the kernels; tell whether one thread is to run it alone."""
        self._check(step)
        self._tables.fill(step)
        self._inputs.step = step
        for counters in self._counters:
            counters.fill(0)
        self._num_outputs = len(step.output_rows)
        return self._effort.num_threads(step, self._crew.num_threads) == 1

    def _run(self, stretch: CallTable | Op, alone: bool) -> None:
        if isinstance(stretch, CallTable):
            self._crew.run(stretch, alone=alone)
        else:
            self._references[type(stretch)](stretch, self._inputs)

    def _logits(self) -> F32:
        return self._storage.rows(self._program.logits, self._num_outputs)

    def hidden(self) -> F32:
        """Return the hidden rows of the last step."""
        return self._storage.rows(self._program.hidden, self._num_outputs)

    def copy_page(self, source: int, target: int) -> None:
        """Copy one page of every cache."""
        self._storage.copy_page(source, target)

    def clear_state(self, slot: int) -> None:
        """Zero a slot's state."""
        self._storage.clear_state(slot)

    def copy_state(self, source: int, target: int) -> None:
        """Copy a slot's state."""
        self._storage.copy_state(source, target)

    def describe(self) -> Mapping[str, str]:
        """Return facts for logs."""
        return self._facts

    def close(self) -> None:
        """Stop the threads and let go of the memory."""
        self._crew.close()
        self._stretches = []

    def _check(self, step: Step) -> None:
        """Refuse a step that would make kernels leave their memory."""
        limits, soft = self._limits, step.soft_tokens
        for what, count, most in (
            ("rows", len(step.tokens), limits.max_rows),
            ("output rows", len(step.output_rows), limits.max_outputs),
            ("sequences", len(step.row_starts) - 1, limits.max_sequences),
            ("pages a sequence", step.page_table.shape[1], self._tables.max_pages),
        ):
            if count > most:
                raise BackendError(f"a step has {count} {what}, more than the {most} it was opened for")
        for what, values, stop in (
            ("token", step.tokens, self._num_tokens),
            ("position", step.positions, limits.max_context),
            ("page", step.page_table, limits.num_pages),
            ("state slot", step.state_slots, max(1, limits.num_state_slots)),
            ("output row", step.output_rows, len(step.tokens)),
            ("soft token", _NOTHING if soft is None else soft.ids, self._num_tokens),
        ):
            # read as unsigned, a negative number is too large: one pass finds both
            if values.size and (worst := values.view(np.uint32).max()) >= stop:
                raise BackendError(
                    f"a step has a {what} of {worst.astype(np.int32)}, expected 0 to {stop - 1}"
                )


def _has_barrier(call: Call | PythonCall) -> bool:
    return isinstance(call, Call) and call.barrier


def _facts(
    limits: Limits, calls: Sequence[Call | PythonCall], memory: Arena, cache: ObjectCache
) -> Mapping[str, str]:
    return {
        "instruction set": str(isa.target()),
        "processor": isa.host_cpu(),
        "threads": str(limits.num_threads),
        "calls a step": str(len(calls)),
        "kernels": str(len(set(_kernels(calls)))),
        "kernel cache": str(cache.directory or "none"),
        "memory": f"{memory.num_bytes / 2**20:.0f} MiB",
    }


_NOTHING = np.zeros(0, np.int32)
_EMPTY = Step(_NOTHING, _NOTHING, _NOTHING, _NOTHING.reshape(0, 0), _NOTHING, _NOTHING)


def _kernels(calls: Sequence[Call | PythonCall]) -> list[Kernel]:
    native = (call for call in calls if isinstance(call, Call))
    return [*DRIVERS, *(kernel for call in native for kernel in call.kernels)]


def _stretches(
    calls: Sequence[Call | PythonCall], addresses: Mapping[Kernel, int], memory: Arena
) -> list[CallTable | Op]:
    """Cut the calls at the ops that run in the interpreter."""
    result: list[CallTable | Op] = []
    pending: list[Call] = []
    for call in [*calls, None]:
        if isinstance(call, Call):
            pending.append(call)
            continue
        if pending:
            result.append(CallTable(pending, addresses, memory))
            pending = []
        if call is not None:
            result.append(call.op)
    return result
