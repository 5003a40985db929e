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
from jackfield_backends.cpu.kv import PANEL, KvShape, kv_shape
from jackfield_backends.cpu.lowering import KvPlace, Lowering, Places, StatePlace, buffer_bytes
from jackfield_backends.cpu.memory import Arena, aligned
from jackfield_backends.cpu.plan import Plan, Span, make_plan

__all__ = ["Storage", "plan_buffers"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
ELEMENTS = {2: np.float16, 4: np.float32}


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
        self._shapes = {cache.id: kv_shape(cache, limits) for cache in program.kv_caches}
        self._pages = {i: self._take_pages(shape, memory) for i, shape in self._shapes.items()}
        slots = limits.num_state_slots
        self.states: dict[int, F32] = {}
        for state in program.fixed_states:
            flat = memory.array(slots * _slot_bytes(state.shape) // 4, np.float32, "state slots")
            padded = flat.reshape(slots, -1)[:, : math.prod(state.shape)]
            self.states[state.id] = padded.reshape(slots, *state.shape, copy=False)
        self.places = Places(
            {i: self._block.ctypes.data + offset for i, offset in plan.buffers.items()},
            {i: self._block.ctypes.data + offset for i, offset in plan.activations.items()},
            {i: self._kv_place(i) for i in self._shapes},
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
        key_pages, value_pages = self._kv_arrays(cache)
        heads = cache.num_kv_heads
        key_pages[pages, :, places // PANEL, :, places % PANEL] = keys.reshape(-1, heads, cache.key_width)
        value_pages[pages, :, places] = values.reshape(-1, heads, cache.value_width)

    def read_kv(self, cache: KvCache, pages: I32, places: I32) -> tuple[F32, F32]:
        """Return rows ``[S, G, K]`` and ``[S, G, Kv]``."""
        key_pages, value_pages = self._kv_arrays(cache)
        keys = key_pages[pages, :, places // PANEL, :, places % PANEL]
        return keys.astype(np.float32), value_pages[pages, :, places].astype(np.float32)

    def _take_pages(
        self, shape: KvShape, memory: Arena
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        count = self._limits.num_pages
        keys = memory.array(count * shape.key_page_bytes, np.uint8, "the cache of keys")
        values = memory.array(count * shape.value_page_bytes, np.uint8, "the cache of values")
        return keys.reshape(count, -1), values.reshape(count, -1)

    def _kv_place(self, cache: int) -> KvPlace:
        keys, values = self._pages[cache]
        return KvPlace(keys.ctypes.data, values.ctypes.data, keys.strides[0], values.strides[0])

    def _kv_arrays(self, cache: KvCache) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        """Return views ``[P, G, N / 16, K, 16]`` of keys and ``[P, G, N, Kv]`` of values."""
        shape, (keys, values) = self._shapes[cache.id], self._pages[cache.id]
        size, heads = self._limits.page_size, cache.num_kv_heads
        kind = ELEMENTS[shape.element_bytes]
        k = keys[:, : heads * shape.key_head_bytes].view(kind)
        v = values[:, : heads * shape.value_head_bytes].view(kind)
        return (
            k.reshape(len(k), heads, size // PANEL, cache.key_width, PANEL),
            v.reshape(len(v), heads, size, cache.value_width),
        )


def _slot_bytes(shape: tuple[int, ...]) -> int:
    return aligned(4 * math.prod(shape))


def memory_estimate(program: Program, plan: Plan, limits: Limits, mapped: int, other: int) -> MemoryEstimate:
    """Return what ``Storage`` and the survey's tables would take."""
    kv = sum(kv_shape(cache, limits).page_bytes for cache in program.kv_caches) * limits.num_pages
    states = sum(_slot_bytes(state.shape) for state in program.fixed_states) * limits.num_state_slots
    return MemoryEstimate(mapped, 0, kv, states, plan.num_bytes + other)
