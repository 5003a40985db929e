"""How many rows a step may have, so that it ends soon enough."""

from __future__ import annotations

__all__ = ["Pace"]

FEWEST_ROWS = 16
"""Also the multiple that a chunk is rounded down to: kernels work on blocks of rows."""
DECODING_STEP_S = 0.25
"""Longest gap that a prompt may make in the streams of others."""
LONGEST_STEP_S = 1.0
"""Longest step while nobody decodes: cancelling and the heart-beat wait for its end."""
SMOOTHING = 0.3


class Pace:
    """Measure the time that a row of prefill takes and size chunks by it."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._row_s: float | None = None

    def observe(self, num_rows: int, seconds: float) -> None:
        """Learn from a step; short ones say little of a row's cost."""
        if num_rows < FEWEST_ROWS:
            return
        row_s = seconds / num_rows
        self._row_s = row_s if self._row_s is None else self._row_s + SMOOTHING * (row_s - self._row_s)

    def num_rows(self, *, is_decoding: bool) -> int:
        """Return the most rows of the next step."""
        if self._row_s is None:
            return self._max_rows
        target_s = DECODING_STEP_S if is_decoding else LONGEST_STEP_S
        rows = min(self._max_rows, int(target_s / max(self._row_s, 1e-9)))
        return min(self._max_rows, max(FEWEST_ROWS, rows - rows % FEWEST_ROWS))
