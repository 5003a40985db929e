"""One sequence on a backend, without the engine: for proofs, tests and plugin authors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from jackfield.backend import Executable, Limits, Step

__all__ = ["SingleSequence"]

F32 = npt.NDArray[np.float32]


class SingleSequence:
    """Feed tokens to an executable that nobody else uses; pages 0, 1, … and state slot 0 are its own.

    Args:
        executable: Opened with ``limits``.
        limits: What it was opened with.
    """

    def __init__(self, executable: Executable, limits: Limits) -> None:
        self._executable = executable
        self._limits = limits
        self._page_table = np.arange(limits.num_pages, dtype=np.int32)[None, :]
        self._length = 0
        if limits.num_state_slots:
            executable.clear_state(0)

    @property
    def length(self) -> int:
        """How many tokens have been fed."""
        return self._length

    def feed(self, tokens: Sequence[int], wanted: Sequence[int] | None = None) -> F32:
        """Append tokens and return logits ``[rows, V]``, a copy.

        Args:
            tokens: Token ids, at least one.
            wanted: Which of them give logits, as ascending indices into ``tokens``; by default the last.
        """
        rows = np.array([len(tokens) - 1] if wanted is None else wanted, dtype=np.int32)
        parts = [self._feed_part(tokens, part, rows) for part in self._parts(len(tokens), rows)]
        return np.concatenate(parts)

    def greedy(self, logits: F32, count: int) -> list[int]:
        """Return ``count`` tokens, each the likeliest after those before; ``logits`` give the first."""
        picked = [int(np.argmax(logits))]
        while len(picked) < count:
            picked.append(int(np.argmax(self.feed(picked[-1:])[0])))
        return picked

    def _parts(self, num_tokens: int, rows: npt.NDArray[np.int32]) -> Iterator[range]:
        """Cut the tokens so that no step is over the limits of rows and outputs."""
        start = 0
        while start < num_tokens:
            stop = min(num_tokens, start + self._limits.max_rows)
            outputs = rows[(rows >= start) & (rows < stop)]
            if len(outputs) > self._limits.max_outputs:
                stop = int(outputs[self._limits.max_outputs])
            yield range(start, stop)
            start = stop

    def _feed_part(self, tokens: Sequence[int], part: range, rows: npt.NDArray[np.int32]) -> F32:
        wanted = rows[(rows >= part.start) & (rows < part.stop)] - part.start
        step = Step(
            tokens=np.array(tokens[part.start : part.stop], dtype=np.int32),
            positions=np.arange(self._length, self._length + len(part), dtype=np.int32),
            row_starts=np.array([0, len(part)], dtype=np.int32),
            page_table=self._page_table,
            state_slots=np.zeros(1, dtype=np.int32),
            output_rows=wanted.astype(np.int32),
        )
        self._length += len(part)
        return self._executable.step(step).copy()
