"""An executable that notes when its steps began and ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jackfield.backend import CallTime, Executable, Step, TimesCalls

__all__ = ["ObservedExecutable", "ObservedStep"]

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ObservedStep:
    """One step.

    Attributes:
        calls: What it was made of, if it ran call by call.
        own_s: What the backend itself took, then.
    """

    num_rows: int
    num_outputs: int
    started_s: float
    stopped_s: float
    calls: Sequence[CallTime] = ()
    own_s: float = 0.0


class ObservedExecutable:
    """Satisfies ``jackfield.backend.Executable``: passes everything on.

    Attributes:
        steps: What was noted so far.
        is_by_call: Whether steps run call by call from now on, where the backend can.
    """

    def __init__(self, executable: Executable) -> None:
        self._executable = executable
        self.hidden, self.describe = executable.hidden, executable.describe
        self.copy_page, self.copy_state = executable.copy_page, executable.copy_state
        self.clear_state = executable.clear_state
        self.steps: list[ObservedStep] = []
        self.is_by_call = False

    def step(self, step: Step) -> F32:
        """Run the program and note how long it took."""
        sizes = (len(step.tokens), len(step.output_rows))
        executable, started_s = self._executable, time.perf_counter()
        if self.is_by_call and isinstance(executable, TimesCalls):
            times = executable.time_step(step)
            stopped_s = time.perf_counter()
            self.steps.append(ObservedStep(*sizes, started_s, stopped_s, times.calls, times.own_s))
            return times.logits
        logits = executable.step(step)
        self.steps.append(ObservedStep(*sizes, started_s, time.perf_counter()))
        return logits

    def close(self) -> None:
        """Do nothing: the executable is its opener's to close."""
