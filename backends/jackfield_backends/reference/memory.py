"""What sequences keep between steps: pages of keys and values, slots of fixed state.

Dimension letters: P pages, N tokens a page, G key heads, K head width.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits
from jackfield.errors import BackendError, OutOfMemory
from jackfield.program import ConvState, KvCache, Program, RecurrentState

__all__ = ["SequenceMemory", "kv_bytes", "state_bytes"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


def kv_bytes(program: Program, limits: Limits) -> int:
    """Return the bytes of all pages; keys and values are float32 whatever ``limits.kv_type`` says."""
    return program.kv_bytes_per_token(4) * limits.num_pages * limits.page_size


def state_bytes(program: Program, limits: Limits) -> int:
    """Return the bytes of all state slots."""
    return program.fixed_state_bytes() * limits.num_state_slots


class SequenceMemory:
    """Pages and slots of every state of a program.

    Raises:
        BackendError: The program needs state slots and the limits have none.
        OutOfMemory: The arrays cannot be had.
    """

    def __init__(self, program: Program, limits: Limits) -> None:
        if program.is_recurrent and limits.num_state_slots < 1:
            raise BackendError(
                f"{program.architecture} keeps recurrent state, but num_state_slots is"
                f" {limits.num_state_slots}, expected at least 1"
            )
        self.page_size = limits.page_size
        try:
            self._keys = {c.id: _pages(limits, c.num_kv_heads, c.key_width) for c in program.kv_caches}
            self._values = {c.id: _pages(limits, c.num_kv_heads, c.value_width) for c in program.kv_caches}
            self._slots = {
                state.id: np.zeros((limits.num_state_slots, *state.shape), np.float32)
                for state in program.fixed_states
            }
        except MemoryError as error:
            wanted = kv_bytes(program, limits) + state_bytes(program, limits)
            raise OutOfMemory(
                f"reference backend: {wanted} bytes for keys, values and state cannot be allocated;"
                f" use fewer pages or sequences",
                numbers={"wanted_bytes": wanted},
            ) from error

    def append(self, cache: KvCache, pages: I32, positions: I32, keys: F32, values: F32) -> None:
        """Store rows at positions of the pages that hold them."""
        place = pages, positions % self.page_size
        self._keys[cache.id][place] = keys.reshape(-1, cache.num_kv_heads, cache.key_width)
        self._values[cache.id][place] = values.reshape(-1, cache.num_kv_heads, cache.value_width)

    def cached(self, cache: KvCache, page_table: I32, length: int) -> tuple[F32, F32]:
        """Return copies of the first ``length`` keys SGK and values of a sequence."""
        pages = page_table[: -(-length // self.page_size)]
        keys, values = self._keys[cache.id][pages], self._values[cache.id][pages]
        return (
            keys.reshape(-1, cache.num_kv_heads, cache.key_width)[:length],
            values.reshape(-1, cache.num_kv_heads, cache.value_width)[:length],
        )

    def slot(self, state: ConvState | RecurrentState, slot: int) -> F32:
        """Return a slot's part for one state, to be changed in place."""
        found: F32 = self._slots[state.id][slot]
        return found

    def copy_page(self, source: int, target: int) -> None:
        """Copy one page of every cache."""
        for pages in (*self._keys.values(), *self._values.values()):
            pages[target] = pages[source]

    def clear_state(self, slot: int) -> None:
        """Zero a slot."""
        for slots in self._slots.values():
            slots[slot] = 0

    def copy_state(self, source: int, target: int) -> None:
        """Copy a slot."""
        for slots in self._slots.values():
            slots[target] = slots[source]


def _pages(limits: Limits, heads: int, width: int) -> F32:
    return np.zeros((limits.num_pages, limits.page_size, heads, width), np.float32)
