"""Several sequences on an executable, without the engine: pages scattered, steps of any mix.

batch = SequenceBatch(executable, limits)
logits = batch.feed({"a": [1, 2, 3], "b": [7]})     # one step; logits["a"] is [3, V]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from jackfield.backend import Executable, Limits, Step

__all__ = ["SequenceBatch"]

F32 = npt.NDArray[np.float32]


class SequenceBatch:
    """Keep the pages and the state slot of each sequence; sequences begin when first fed.

    Args:
        executable: Opened with ``limits``, used by nobody else.
        limits: Pages and slots are given out from these, pages in a scattered order.
    """

    def __init__(self, executable: Executable, limits: Limits) -> None:
        self._executable = executable
        self._page_size = limits.page_size
        self._has_slots = limits.num_state_slots > 0
        self._free_pages = np.random.default_rng(0).permutation(limits.num_pages).tolist()
        self._pages: dict[str, list[int]] = {}
        self._lengths: dict[str, int] = {}
        self._slots: dict[str, int] = {}

    def feed(self, tokens: Mapping[str, Sequence[int]]) -> dict[str, F32]:
        """Run one step and return copies of the logits of every row, by sequence."""
        num_rows = sum(map(len, tokens.values()))
        logits = self.feed_for(tokens, range(num_rows))
        starts = np.cumsum([0, *map(len, tokens.values())])
        return {name: logits[starts[i] : starts[i + 1]] for i, name in enumerate(tokens)}

    def feed_for(self, tokens: Mapping[str, Sequence[int]], output_rows: Sequence[int]) -> F32:
        """Run one step and return a copy of the logits of those rows of the step."""
        for name in tokens:
            self._begin(name)
            self._grow(name, self._lengths[name] + len(tokens[name]))
        logits = self._executable.step(self._step(tokens, output_rows)).copy()
        for name, added in tokens.items():
            self._lengths[name] += len(added)
        return logits

    def fork(self, source: str, target: str) -> None:
        """Begin ``target`` as a copy of ``source``: every page and the state."""
        self._begin(target)
        self._grow(target, self._lengths[source])
        self._lengths[target] = self._lengths[source]
        for from_page, to_page in zip(self._pages[source], self._pages[target], strict=True):
            self._executable.copy_page(from_page, to_page)
        if self._has_slots:
            self._executable.copy_state(self._slots[source], self._slots[target])

    def cut(self, name: str, length: int) -> None:
        """Forget what is past ``length``; only for sequences without recurrent state."""
        self._lengths[name] = length

    def _begin(self, name: str) -> None:
        if name in self._lengths:
            return
        self._pages[name], self._lengths[name] = [], 0
        self._slots[name] = len(self._slots) if self._has_slots else 0
        if self._has_slots:
            self._executable.clear_state(self._slots[name])

    def _grow(self, name: str, length: int) -> None:
        while len(self._pages[name]) * self._page_size < length:
            self._pages[name].append(self._free_pages.pop())

    def _step(self, tokens: Mapping[str, Sequence[int]], output_rows: Sequence[int]) -> Step:
        counts = [len(added) for added in tokens.values()]
        table = np.zeros((len(tokens), max(len(self._pages[name]) for name in tokens)), np.int32)
        for row, name in enumerate(tokens):
            table[row, : len(self._pages[name])] = self._pages[name]
        spans = [range(self._lengths[name], self._lengths[name] + len(tokens[name])) for name in tokens]
        return Step(
            tokens=np.array([token for added in tokens.values() for token in added], np.int32),
            positions=np.array([position for span in spans for position in span], np.int32),
            row_starts=np.cumsum([0, *counts], dtype=np.int32),
            page_table=table,
            state_slots=np.array([self._slots[name] for name in tokens], np.int32),
            output_rows=np.array(output_rows, np.int32),
        )
