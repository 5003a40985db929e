"""The cpu backend: what it can run, what that takes, and opening a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from jackfield.backend import Executable, Limits, MachineRates, MemoryEstimate, OpenProgress, WeightSource
from jackfield.errors import BackendError, JackfieldError
from jackfield.program import Program
from jackfield.program.ops import Embed, ExpertFeedForward, Linear
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.cache import ObjectCache
from jackfield_backends.cpu.embed import PLAIN
from jackfield_backends.cpu.executable import CpuExecutable, Surveyed, survey_program
from jackfield_backends.cpu.formats import FORMATS
from jackfield_backends.cpu.kv_layout import KV_TYPES
from jackfield_backends.cpu.lowering import LOWERERS
from jackfield_backends.cpu.rates import measure_rates

__all__ = ["CpuBackend"]


class CpuBackend:
    """Satisfies ``jackfield.backend.Backend``.

    Args:
        instruction_set: One of ``isa.Isa``; ``None`` for the environment's choice or the best. It is in force in
            the whole process, for programs opened from now on.
        cache: Where compiled kernels are kept; the user's cache folder if ``None``.
    """

    def __init__(self, instruction_set: str | None = None, cache: ObjectCache | None = None) -> None:
        self._instruction_set = instruction_set
        self._cache = cache
        self._surveyed: tuple[isa.Isa, Surveyed] | None = None

    def unavailable(self) -> str | None:
        """Return why this machine or the chosen instruction set will not do."""
        try:
            self._choose()
        except JackfieldError as error:
            return error.message
        return None

    def describe(self) -> Mapping[str, str]:
        """Return the instruction set in force, the others this machine has, and where kernels are kept."""
        self._choose()
        directory = (self._cache or ObjectCache()).directory
        return {
            "instruction set": f"{isa.target()} (of {', '.join(isa.available())})",
            "processor": isa.host_cpu(),
            "kernel cache": str(directory) if directory else "none: kernels are compiled at each start",
        }

    def measure(self, num_threads: int) -> MachineRates:
        """Measure how fast memory is read and bytes are multiplied."""
        self._choose()
        return measure_rates(num_threads, self._cache or ObjectCache())

    def cannot_run(self, program: Program, weights: WeightSource) -> str | None:
        """Return the first op or block format that it lacks."""
        for op in program.ops:
            if type(op) not in LOWERERS and not isinstance(op, Linear) and type(op) not in program.plugin_ops:
                return f"backend 'cpu' has no kernel for op {type(op).__name__}; use --backend reference"
            if isinstance(op, Linear | Embed | ExpertFeedForward):
                for weight in op.weights:
                    name = weights[weight.name].type_name
                    if name not in FORMATS and name not in PLAIN:
                        what = f"tensor {weight.name!r} of type {name}"
                        return f"backend 'cpu' cannot read {what}; use --backend reference"
        return None

    def estimate(self, program: Program, weights: WeightSource, limits: Limits) -> MemoryEstimate:
        """Return the memory ``open`` would take."""
        self._choose()
        return self._survey(program, weights, limits).estimate(limits.num_pages)

    def open(
        self,
        program: Program,
        weights: WeightSource,
        limits: Limits,
        progress: OpenProgress | None = None,
    ) -> Executable:
        """Prepare the program: compile kernels, allocate pages and scratch.

        Raises:
            BackendError: It cannot run the program, or memory is short.
        """
        self._choose()
        reason = self.cannot_run(program, weights) or _refusal(limits)
        if reason is not None:
            raise BackendError(reason)
        surveyed = self._survey(program, weights, limits)
        return CpuExecutable(program, weights, limits, surveyed, self._cache or ObjectCache(), progress)

    def _survey(self, program: Program, weights: WeightSource, limits: Limits) -> Surveyed:
        """Survey a program, unless the last survey was of it: how many pages there are makes no difference."""
        limits = replace(limits, num_pages=1)
        if self._surveyed is not None:
            instructions, last = self._surveyed
            is_same = last.program is program and last.weights is weights and last.limits == limits
            if is_same and instructions is isa.current():
                return last
        self._surveyed = isa.current(), survey_program(program, weights, limits)
        return self._surveyed[1]

    def _choose(self) -> None:
        isa.use(None if self._instruction_set is None else isa.named(self._instruction_set))


def _refusal(limits: Limits) -> str | None:
    if limits.kv_type not in KV_TYPES:
        known = ", ".join(KV_TYPES)
        return f"backend 'cpu' cannot store keys and values as {limits.kv_type!r}; use one of: {known}"
    if limits.page_size % 16:
        return f"page size {limits.page_size} is not a multiple of 16"
    return None
