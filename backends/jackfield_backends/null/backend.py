"""The backend contract without arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, MemoryEstimate, OpenProgress, Step, WeightSource
from jackfield.program import Program

__all__ = ["NullBackend", "NullExecutable"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
CERTAIN = np.float32(100)
"""The picked token's logit; all others are 0, so that sampling at any usual temperature picks it too."""


class NullBackend:
    """Satisfies ``jackfield.backend.Backend``; runs every program."""

    def unavailable(self) -> str | None:
        """Return ``None``: nothing is needed."""
        return None

    def describe(self) -> Mapping[str, str]:
        """Return nothing: the machine does not matter."""
        return {}

    def measure(self, num_threads: int) -> None:
        """Return ``None``: nothing is computed."""

    def cannot_run(self, program: Program, weights: WeightSource) -> str | None:
        """Return ``None``: no op is run."""
        return None

    def estimate(self, program: Program, weights: WeightSource, limits: Limits) -> MemoryEstimate:
        """Return the memory ``open`` would take: tokens instead of keys and values, and the logits."""
        logits_bytes = 4 * limits.max_outputs * (program.vocab_size + program.embedding_width)
        return MemoryEstimate(
            mapped_bytes=0,
            weights_bytes=0,
            kv_bytes=5 * limits.num_pages * limits.page_size,
            state_bytes=0,
            scratch_bytes=logits_bytes,
        )

    def open(
        self,
        program: Program,
        weights: WeightSource,
        limits: Limits,
        progress: OpenProgress | None = None,
    ) -> NullExecutable:
        """Allocate pages for tokens."""
        return NullExecutable(program, limits)


class NullExecutable:
    """Satisfies ``jackfield.backend.Executable``.

    Pages hold the tokens themselves, and for each whether its logits were wanted: the prompt of a sequence
    ends at the first of the wanted rows that end it.
    """

    def __init__(self, program: Program, limits: Limits) -> None:
        self._program = program
        self._page_size = limits.page_size
        self._tokens: I32 = np.zeros((limits.num_pages, limits.page_size), np.int32)
        self._wanted = np.zeros((limits.num_pages, limits.page_size), np.bool_)
        self._hidden: F32 = np.zeros((0, program.embedding_width), np.float32)

    def step(self, step: Step) -> F32:
        """Store the step's tokens and return logits that are certain of the token to come."""
        sequences = np.repeat(np.arange(len(step.row_starts) - 1), np.diff(step.row_starts))
        place = (
            step.page_table[sequences, step.positions // self._page_size],
            step.positions % self._page_size,
        )
        self._tokens[place] = step.tokens
        self._wanted[place] = False
        self._wanted[place[0][step.output_rows], place[1][step.output_rows]] = True
        picked = [
            self._next_token(step.page_table[sequences[row]], int(step.positions[row]))
            for row in step.output_rows
        ]
        self._hidden = _certain(
            np.array(picked, np.int32) % self._program.embedding_width, self._hidden.shape[1]
        )
        return _certain(np.array(picked, np.int32), self._program.vocab_size)

    def hidden(self) -> F32:
        """Return unit rows ``[R, D]``, told apart by the token to come."""
        return self._hidden

    def copy_page(self, source: int, target: int) -> None:
        """Copy one page of tokens."""
        self._tokens[target] = self._tokens[source]
        self._wanted[target] = self._wanted[source]

    def clear_state(self, slot: int) -> None:
        """Do nothing: the tokens in the pages are all there is."""

    def copy_state(self, source: int, target: int) -> None:
        """Do nothing: the tokens in the pages are all there is."""

    def describe(self) -> Mapping[str, str]:
        """Return what it computes with."""
        return {"arithmetic": "none"}

    def close(self) -> None:
        """Do nothing: memory goes with the object."""

    def _next_token(self, page_table: I32, position: int) -> int:
        pages = page_table[: position // self._page_size + 1]
        tokens = self._tokens[pages].reshape(-1)
        unwanted = np.flatnonzero(~self._wanted[pages].reshape(-1)[: position + 1])
        prompt_end = int(unwanted[-1]) + 1 if len(unwanted) else 0
        num_picked = position - prompt_end
        return int(tokens[num_picked % (prompt_end + 1)])


def _certain(columns: I32, width: int) -> F32:
    logits = np.zeros((len(columns), width), np.float32)
    logits[np.arange(len(columns)), columns] = CERTAIN
    return logits
