"""The memory of an executable: buffers, pages, state slots, scratch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, MemoryEstimate
from jackfield.program import Buffer, KvCache, Op, Program
from jackfield_backends.cpu.fused import can_quantize_output
from jackfield_backends.cpu.kv_layout import KvLayout, kv_layout
from jackfield_backends.cpu.lowering import KvPlace, Lowering, Places, StatePlace, buffer_bytes
from jackfield_backends.cpu.memory import Arena, aligned
from jackfield_backends.cpu.plan import Plan, Span, make_plan

__all__ = ["Storage", "plan_buffers"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


def plan_buffers(ops: Sequence[Op], program: Program, limits: Limits, survey: Lowering) -> Plan:
    """Place the buffers of a program and the copies a survey asked for; ops that can make those of their output."""
    kept = (program.logits, program.hidden)
    copies, made_by_producer = dict(survey.copies), dict[int, bool]()
    for i, op in enumerate(ops):
        if can_quantize_output(op) and op.writes[0].id in copies:
            out = op.writes[0]
            span, size = copies[out.id]
            copies[out.id] = (Span(i, span.last), size)
            made_by_producer[out.id] = out.id in survey.rows_read or out in kept
    sizes = {buffer.id: buffer_bytes(buffer, limits) for op in ops for buffer in op.writes}
    return replace(make_plan(ops, kept, sizes, copies), made_by_producer=made_by_producer)


class Storage:
    """Takes all memory at once, and shows it to the interpreter as arrays.

    Attributes:
        places: The same memory as addresses, for kernels.
        states: Arrays ``[slots, *shape]`` of the fixed states by id.
    """

    def __init__(self, program: Program, plan: Plan, limits: Limits, memory: Arena) -> None:
        self._limits = limits
        self._plan = plan
        self._block = memory.array(plan.num_bytes, np.uint8, "buffers")
        self._layouts = {cache.id: kv_layout(cache, limits) for cache in program.kv_caches}
        self._pages = {i: self._take_pages(layout, memory) for i, layout in self._layouts.items()}
        slots = limits.num_state_slots
        self.states: dict[int, F32] = {}
        for state in program.fixed_states:
            flat = memory.array(slots * _slot_bytes(state.shape) // 4, np.float32, "state slots")
            padded = flat.reshape(slots, -1)[:, : math.prod(state.shape)]
            self.states[state.id] = padded.reshape(slots, *state.shape, copy=False)
        self.places = Places(
            {i: self._block.ctypes.data + offset for i, offset in plan.buffers.items()},
            {i: self._block.ctypes.data + offset for i, offset in plan.activations.items()},
            {i: self._kv_place(i) for i in self._layouts},
            {i: StatePlace(array.ctypes.data, array.strides[0]) for i, array in self.states.items()},
            plan.made_by_producer,
        )

    def rows(self, buffer: Buffer, num_rows: int) -> F32:
        """Return the rows of a buffer."""
        stride = aligned(4 * buffer.root.width)
        start = self._plan.buffers[buffer.root.id]
        whole = self._block[start : start + stride * num_rows].view(np.float32).reshape(num_rows, stride // 4)
        return whole[:, buffer.column : buffer.column + buffer.width]

    def copy_page(self, source: int, target: int) -> None:
        """Copy one page of every cache."""
        for keys, values in self._pages.values():
            keys[target] = keys[source]
            values[target] = values[source]

    def clear_state(self, slot: int) -> None:
        """Zero a slot."""
        for state in self.states.values():
            state[slot] = 0

    def copy_state(self, source: int, target: int) -> None:
        """Copy a slot."""
        for state in self.states.values():
            state[target] = state[source]

    def write_kv(self, cache: KvCache, pages: I32, places: I32, keys: F32, values: F32) -> None:
        """Store rows ``[T, G * K]`` and ``[T, G * Kv]`` at places within pages."""
        layout, (key_pages, value_pages) = self._layouts[cache.id], self._pages[cache.id]
        for page in np.unique(pages):
            rows = pages == page
            old_keys, old_values = (
                layout.read_keys(key_pages[page]),
                layout.read_values(value_pages[page]).copy(),
            )
            old_keys[places[rows]] = keys[rows].reshape(-1, cache.num_kv_heads, cache.key_width)
            old_values[places[rows]] = values[rows].reshape(-1, cache.num_kv_heads, cache.value_width)
            layout.write_keys(key_pages[page], old_keys)
            layout.write_values(value_pages[page], old_values)

    def read_kv(self, cache: KvCache, pages: I32, places: I32) -> tuple[F32, F32]:
        """Return rows ``[S, G, K]`` and ``[S, G, Kv]``."""
        layout, (key_pages, value_pages) = self._layouts[cache.id], self._pages[cache.id]
        named, index = np.unique(pages, return_inverse=True)
        keys = np.stack([layout.read_keys(key_pages[page]) for page in named])
        values = np.stack([layout.read_values(value_pages[page]) for page in named])
        return keys[index, places], values[index, places]

    def _take_pages(
        self, layout: KvLayout, memory: Arena
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        count = self._limits.num_pages
        keys = memory.array(count * layout.key_page_bytes, np.uint8, "the cache of keys")
        values = memory.array(count * layout.value_page_bytes, np.uint8, "the cache of values")
        return keys.reshape(count, -1), values.reshape(count, -1)

    def _kv_place(self, cache: int) -> KvPlace:
        keys, values = self._pages[cache]
        return KvPlace(keys.ctypes.data, values.ctypes.data, keys.strides[0], values.strides[0])


def _slot_bytes(shape: tuple[int, ...]) -> int:
    return aligned(4 * math.prod(shape))


def memory_estimate(program: Program, plan: Plan, limits: Limits, mapped: int, other: int) -> MemoryEstimate:
    """Return what ``Storage`` and the survey's tables would take."""
    kv = sum(kv_layout(cache, limits).page_bytes for cache in program.kv_caches) * limits.num_pages
    states = sum(_slot_bytes(state.shape) for state in program.fixed_states) * limits.num_state_slots
    return MemoryEstimate(mapped, 0, kv, states, plan.num_bytes + other)
