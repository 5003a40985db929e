"""The call table and its threads."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from jackfield_backends.cpu.atomic import atomic_add, take
from jackfield_backends.cpu.cache import ObjectCache
from jackfield_backends.cpu.kernel import arg, float_arg, kernel, load_i64, store_i64
from jackfield_backends.cpu.linking import addresses_of
from jackfield_backends.cpu.memory import ALIGNMENT, Arena
from jackfield_backends.cpu.simd import load_f32, store_f32
from jackfield_backends.cpu.table import DRIVERS, Call, CallTable, Crew

pytestmark = pytest.mark.jit


@kernel
def count(args: int, thread: int, num_threads: int) -> None:
    atomic_add(arg(args, 0), 1)


@kernel
def note(args: int, thread: int, num_threads: int) -> None:
    """Write how many calls were counted so far: one place a thread."""
    store_i64(arg(args, 1) + 8 * thread, load_i64(arg(args, 0)))


@kernel
def drain(args: int, thread: int, num_threads: int) -> None:
    while True:
        unit = take(arg(args, 0), 3)
        if unit >= arg(args, 2):
            break
        for i in range(unit, min(unit + 3, arg(args, 2))):
            store_i64(arg(args, 1) + 8 * i, load_i64(arg(args, 1) + 8 * i) + 1)


@kernel
def scale(args: int, thread: int, num_threads: int) -> None:
    if thread == 0:
        store_f32(arg(args, 0), load_f32(arg(args, 0)) * float_arg(args, 1))


@pytest.fixture(scope="module")
def addresses():
    return addresses_of([*DRIVERS, count, note, drain, scale], ObjectCache())


@pytest.fixture
def memory() -> Arena:
    return Arena()


@pytest.fixture(params=[1, 2, 5])
def crew(request, addresses, memory):
    made = Crew([addresses[driver] for driver in DRIVERS], request.param, memory)
    yield made
    made.close()


def test_every_thread_calls_every_entry_and_waits_at_barriers(crew, addresses, memory) -> None:
    cells, notes = memory.array(1, np.int64, "cells"), memory.array(200 * 8, np.int64, "notes")
    places = notes.reshape(200, 8)
    calls = []
    for i in range(200):
        calls.append(Call(count, (cells.ctypes.data,)))
        calls.append(Call(note, (cells.ctypes.data, places[i].ctypes.data)))
    table = CallTable(calls, addresses, memory)
    for _ in range(3):
        cells[:] = 0
        crew.run(table)
        expected = crew.num_threads * np.arange(1, 201)
        for thread in range(crew.num_threads):
            np.testing.assert_array_equal(places[:, thread], expected)


def test_nobody_waits_for_a_thread_that_has_begun_nothing(addresses, memory, monkeypatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None)
    crew = Crew([addresses[driver] for driver in DRIVERS], 3, memory)
    cell = memory.array(1, np.int64, "cell")
    table = CallTable([Call(count, (cell.ctypes.data,))] * 5, addresses, memory)
    for i in range(1, 4):
        crew.run(table)
        assert cell[0] == 15 * i


def test_late_threads_find_the_table_of_the_day(crew, addresses, memory) -> None:
    """Tables of two lengths by turns, too short for every thread to come in time: each part is done once."""
    short, long = memory.array(1, np.int64, "cell"), memory.array(1, np.int64, "cell")
    tables = [
        CallTable([Call(count, (cell.ctypes.data,))] * length, addresses, memory)
        for cell, length in ((short, 2), (long, 9))
    ]
    for i in range(1, 1001):
        crew.run(tables[0])
        crew.run(tables[1])
        assert short[0] == 2 * i * crew.num_threads
        assert long[0] == 9 * i * crew.num_threads


def test_a_step_alone_leaves_the_others_waiting(crew, addresses, memory) -> None:
    cell = memory.array(1, np.int64, "cell")
    table = CallTable([Call(count, (cell.ctypes.data,))] * 3, addresses, memory)
    crew.run(table)
    assert cell[0] == 3 * crew.num_threads
    crew.run(table, alone=True)
    crew.run(table, alone=True)
    assert cell[0] == 3 * crew.num_threads + 6
    crew.run(table)
    assert cell[0] == 6 * crew.num_threads + 6


def test_chunks_are_taken_once(crew, addresses, memory) -> None:
    counter, units = memory.array(1, np.int64, "counter"), memory.array(1000, np.int64, "units")
    crew.run(CallTable([Call(drain, (counter.ctypes.data, units.ctypes.data, 1000))], addresses, memory))
    assert units.tolist() == [1] * 1000


def test_floats_reach_the_kernel(crew, addresses, memory) -> None:
    cell = memory.array(1, np.float32, "cell")
    cell[0] = 3
    crew.run(CallTable([Call(scale, (cell.ctypes.data, -0.5))], addresses, memory))
    assert cell[0] == np.float32(-1.5)


def test_sleeping_threads_wake_for_the_next_step(crew, addresses, memory) -> None:
    cell = memory.array(1, np.int64, "cell")
    table = CallTable([Call(count, (cell.ctypes.data,))], addresses, memory)
    for i in range(1, 4):
        crew.run(table)
        assert cell[0] == i * crew.num_threads
        deadline = time.monotonic() + 20
        while not all(crew._cells[40 + 8 * t] for t in range(1, crew.num_threads)):
            assert time.monotonic() < deadline, "a thread never went to sleep"
            time.sleep(0.01)


def test_closing_ends_the_threads(addresses, memory) -> None:
    before = threading.active_count()
    crew = Crew([addresses[driver] for driver in DRIVERS], 3, memory)
    assert threading.active_count() == before + 2
    crew.close()
    assert threading.active_count() == before


def test_memory_begins_at_cache_lines(memory) -> None:
    for size in (1, 63, 64, 65):
        assert memory.array(size, np.uint8, "bytes").ctypes.data % ALIGNMENT == 0
    values = np.arange(5, dtype=np.float32)
    address = memory.keep(values[::-1])
    kept = memory._blocks[-1].view(np.float32)
    assert kept.ctypes.data == address
    assert kept[:5].tolist() == [4, 3, 2, 1, 0]
