"""The backend contract over numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from jackfield.backend import Limits, MemoryEstimate, OpenProgress, WeightSource
from jackfield.errors import BackendError
from jackfield.program import Program

from .executable import ReferenceExecutable
from .lifetimes import peak_width
from .memory import kv_bytes, state_bytes
from .vocabulary import references_of

__all__ = ["ReferenceBackend"]


class ReferenceBackend:
    """Satisfies ``jackfield.backend.Backend``."""

    def unavailable(self) -> str | None:
        """Return ``None``: numpy is always there."""
        return None

    def describe(self) -> Mapping[str, str]:
        """Return what it computes with."""
        return {"arithmetic": f"float32, numpy {np.__version__}"}

    def measure(self, num_threads: int) -> None:
        """Return ``None``: it is slow whatever the machine."""

    def cannot_run(self, program: Program, weights: WeightSource) -> str | None:
        """Return which op has no meaning here; ``None`` when every op has one."""
        try:
            references_of(program)
        except BackendError as error:
            return error.message
        return None

    def estimate(self, program: Program, weights: WeightSource, limits: Limits) -> MemoryEstimate:
        """Return the memory ``open`` and its steps would take."""
        sizes = {name: 4 * math.prod(weights[name].shape) for name in program.weight_names()}
        return MemoryEstimate(
            mapped_bytes=0,
            weights_bytes=sum(sizes.values()),
            kv_bytes=kv_bytes(program, limits),
            state_bytes=state_bytes(program, limits),
            scratch_bytes=4 * peak_width(program) * limits.max_rows,
        )

    def open(
        self,
        program: Program,
        weights: WeightSource,
        limits: Limits,
        progress: OpenProgress | None = None,
    ) -> ReferenceExecutable:
        """Allocate pages and slots; weights are dequantised when first used.

        Raises:
            BackendError: An op has no reference, or state slots are missing.
            OutOfMemory: Pages and slots cannot be allocated.
        """
        return ReferenceExecutable(program, weights, limits)
