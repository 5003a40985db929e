"""The table of native calls, and the threads that walk it together.

A call is done in parts, ``kernel(args, part, num_parts)``, as many as there are threads. Threads walk the table side by
side and take parts, each its next and then those that nobody has begun; kernels divide the work among the parts, by
row or through a counter. After a call marked with a barrier nobody goes on until all its parts are done. Nobody waits
for a thread that has begun nothing: one that lost its core to another program holds up no more than its part,
and finds its way when it is back. Waiting spins briefly, then gives the core away.

Threads wait for the next step the same way; left idle for a while they go to sleep in Python.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from jackfield.program import Op, Weight
from jackfield_backends.cpu.atomic import (
    atomic_add,
    atomic_exchange,
    atomic_load,
    atomic_replace,
    atomic_store,
    pause,
    yield_core,
)
from jackfield_backends.cpu.emit import I64, VOID, Value
from jackfield_backends.cpu.kernel import Kernel, kernel, load_i64, routine, store_i64
from jackfield_backends.cpu.memory import Arena
from jackfield_backends.cpu.operation import i64, nothing, operation

__all__ = ["DRIVERS", "Argument", "Call", "CallTable", "Crew", "Origin"]

Argument = int | float | Kernel
"""What a call passes; a kernel passes its address, for a kernel that calls another."""

SPINS = 4000  # about 20 µs: longer than an even share of a step differs, far shorter than a time slice
IDLE_YIELDS = 10_000  # some milliseconds on an idle machine: the time between two steps of a running stream

# a table, in bytes: the generation that may walk it and its length, then its entries, a cache line each: address,
# arguments, barrier, and how far the call is: the generation, parts taken and parts done
TABLE_LENGTH, ENTRIES = 8, 64
ENTRY, ENTRY_ARGUMENTS, ENTRY_BARRIER, PROGRESS = 64, 8, 16, 24
PART_BITS = 12
TAKEN, GENERATION_SHIFT, PARTS_MASK = 1 << PART_BITS, 2 * PART_BITS, (1 << PART_BITS) - 1
# the control block, in bytes; a cell that threads write has a cache line of its own
TABLE, NEXT_TABLE, GENERATION, WOKEN, THREADS = 0, 64, 128, 256, 320
PARKED, SEEN, CALLED, THREAD_BYTES = 0, 8, 16, 64


@dataclass(frozen=True)
class Origin:
    """The ops that a call computes, none when it prepares what later calls read, and the matrices it reads."""

    ops: tuple[Op, ...] = ()
    weights: tuple[Weight, ...] = ()


NOWHERE = Origin()


@dataclass(frozen=True)
class Call:
    """One entry of the table.

    Attributes:
        arguments: What the kernel reads with ``arg`` and ``float_arg``.
        barrier: Whether all threads meet after it; ``False`` only where the next call neither reads what this
            one writes, nor writes what it reads, nor has thread scratch in common with it: that belongs to
            a part, and parts of both may be under way at once.
        origin: What it is for, when somebody asks where the time goes.
    """

    kernel: Kernel
    arguments: tuple[Argument, ...]
    barrier: bool = True
    origin: Origin = NOWHERE

    @property
    def kernels(self) -> Iterator[Kernel]:
        """Yield every kernel that must be compiled: the one called and those passed."""
        yield self.kernel
        yield from (value for value in self.arguments if isinstance(value, Kernel))


class CallTable:
    """Calls as native code sees them; ``addresses`` has every kernel of ``Call.kernels``."""

    def __init__(self, calls: Sequence[Call], addresses: Mapping[Kernel, int], memory: Arena) -> None:
        table = memory.array((ENTRIES + ENTRY * len(calls)) // 8, np.int64, "the call table")
        table[TABLE_LENGTH // 8] = len(calls)
        entries = table[ENTRIES // 8 :].reshape(-1, ENTRY // 8)
        offsets = np.cumsum([0] + [-(-len(call.arguments) // 8) * 8 for call in calls])
        words = memory.array(int(offsets[-1]), np.int64, "the arguments of calls")
        for i, call in enumerate(calls):
            place = words[offsets[i] : offsets[i + 1]]
            for j, value in enumerate(call.arguments):
                place[j] = _word_of(value, addresses)
            entries[i, :3] = (addresses[call.kernel], words.ctypes.data + 8 * int(offsets[i]), call.barrier)
        if len(calls):
            entries[-1, 2] = 1  # the step is over when all parts are done
        self.address = table.ctypes.data


def _word_of(value: Argument, addresses: Mapping[Kernel, int]) -> int:
    if isinstance(value, Kernel):
        return addresses[value]
    return value if isinstance(value, int) else int(np.float64(value).view(np.int64))


class Crew:
    """The threads of one executable; the caller's own thread is the first.

    Args:
        drivers: Addresses of ``DRIVERS``, in order.
        num_threads: The caller included.
    """

    def __init__(self, drivers: Sequence[int], num_threads: int, memory: Arena) -> None:
        self.num_threads = num_threads
        self._cells = memory.array((THREADS + THREAD_BYTES * num_threads) // 8, np.int64, "thread control")
        self._control = self._cells.ctypes.data
        native = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        self._walk, self._work, self._announce = (native(address) for address in drivers)
        self._wake = [threading.Semaphore(0) for _ in range(num_threads)]
        self._threads = [
            threading.Thread(target=self._serve, args=(i,), name=f"jackfield-cpu-{i}", daemon=True)
            for i in range(1, num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, table: CallTable, *, alone: bool = False) -> None:
        """Walk the table with all threads, or ``alone``; returns when the last call is done. Not re-entrant."""
        self._cells[NEXT_TABLE // 8] = table.address
        if self._threads and not alone:
            self._begin(1)
        self._walk(self._control, 0, 1 if alone else self.num_threads)

    def close(self) -> None:
        """End the threads."""
        self._begin(-1)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _begin(self, change: int) -> None:
        self._announce(self._control, change, self.num_threads)
        if self._cells[WOKEN // 8]:
            called = self._cells[(THREADS + CALLED) // 8 :: THREAD_BYTES // 8]
            for i in np.flatnonzero(called):
                self._wake[int(i)].release()

    def _serve(self, thread: int) -> None:
        while self._cells[GENERATION // 8] >= 0:
            self._work(self._control, thread, self.num_threads)
            if self._cells[GENERATION // 8] >= 0:
                self._wake[thread].acquire()


@operation(nothing, i64, i64, i64, i64)
def call_kernel(address: Value, args: Value, thread: Value, num_threads: Value) -> None:
    """Call a kernel by its address."""
    kind = ir.FunctionType(VOID, [I64, I64, I64])
    address.b.call(address.pointer(kind), [args.v, thread.v, num_threads.v])


@routine
def take_part(entry: int, generation: int, num_parts: int) -> int:
    """Return the number of a part that is now the caller's, -1 when all are taken."""
    while True:
        progress = atomic_load(entry + PROGRESS)
        if progress >> GENERATION_SHIFT < generation:  # the first to come
            taken, after = 0, (generation << GENERATION_SHIFT) + TAKEN
        else:
            taken, after = progress >> PART_BITS & PARTS_MASK, progress + TAKEN
            if progress >> GENERATION_SHIFT > generation or taken == num_parts:
                return -1
        if atomic_replace(entry + PROGRESS, progress, after):
            return taken


@routine
def wait_for(entry: int, generation: int, num_parts: int) -> None:
    """Wait until all parts of a call are done."""
    all_done = (generation << GENERATION_SHIFT) + num_parts * TAKEN + num_parts
    spins = 0
    while atomic_load(entry + PROGRESS) < all_done:
        spins += 1
        if spins < SPINS:
            pause()
        else:
            yield_core()


@routine
def walk_together(control: int, generation: int, num_parts: int) -> None:
    """Take parts of every entry; a thread that comes too late for its generation does nothing."""
    table = atomic_load(control + TABLE)
    if atomic_load(table) != generation:
        return
    entry = table + ENTRIES
    waiting = entry
    for _ in range(load_i64(table + TABLE_LENGTH)):
        part = take_part(entry, generation, num_parts)
        while part >= 0:
            call_kernel(load_i64(entry), load_i64(entry + ENTRY_ARGUMENTS), part, num_parts)
            atomic_add(entry + PROGRESS, 1)
            part = take_part(entry, generation, num_parts)
        entry += ENTRY
        if load_i64(entry - ENTRY + ENTRY_BARRIER):
            while waiting < entry:
                wait_for(waiting, generation, num_parts)
                waiting += ENTRY


@routine
def walk_alone(table: int) -> None:
    """Call every entry, whole."""
    entry = table + ENTRIES
    for _ in range(load_i64(table + TABLE_LENGTH)):
        call_kernel(load_i64(entry), load_i64(entry + ENTRY_ARGUMENTS), 0, 1)
        entry += ENTRY


@kernel
def walk(control: int, thread: int, num_threads: int) -> None:
    """Walk the table once, as the thread that began the step."""
    if num_threads == 1:
        walk_alone(load_i64(control + NEXT_TABLE))
    else:
        walk_together(control, load_i64(control + GENERATION), num_threads)


@kernel
def announce(control: int, change: int, num_threads: int) -> None:
    """Begin the next step, or the end when ``change`` is negative, and note who must be woken."""
    generation = load_i64(control + GENERATION) + 1
    if change < 0:
        generation = -1
    else:
        table = load_i64(control + NEXT_TABLE)
        atomic_store(table, generation)
        atomic_store(control + TABLE, table)
    atomic_exchange(control + GENERATION, generation)
    woken = 0
    for i in range(1, num_threads):
        cells = control + THREADS + THREAD_BYTES * i
        called = atomic_exchange(cells + PARKED, 0)
        store_i64(cells + CALLED, called)
        woken += called
    store_i64(control + WOKEN, woken)


@routine
def next_step(control: int, cells: int) -> int:
    """Wait for a step this thread has not done; 0 when it should sleep, negative when all is over.

    Parking and announcing each write their own cell and then read the other's: one of the two sees the other.
    """
    seen = load_i64(cells + SEEN)
    spins = 0
    generation: int = atomic_load(control + GENERATION)
    while generation == seen:
        spins += 1
        if spins < SPINS:
            pause()
        elif spins < SPINS + IDLE_YIELDS:
            yield_core()
        else:
            atomic_exchange(cells + PARKED, 1)
            generation = atomic_load(control + GENERATION)
            if generation == seen or atomic_exchange(cells + PARKED, 0) == 0:
                return 0
            break
        generation = atomic_load(control + GENERATION)
    store_i64(cells + SEEN, generation)
    return generation


@kernel
def work(control: int, thread: int, num_threads: int) -> None:
    """Walk the table once a step, until idle or over."""
    cells = control + THREADS + THREAD_BYTES * thread
    generation = next_step(control, cells)
    while generation > 0:
        walk_together(control, generation, num_threads)
        generation = next_step(control, cells)


DRIVERS = (walk, work, announce)
