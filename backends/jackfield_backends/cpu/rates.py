"""What this machine can do at best: bytes read and int8 operations a second, all threads together.

Reading adds up memory much larger than the caches, in pages like those of a mapped model file: no decoding of
one stream can be faster. The int8 rate is that of four-byte dot products in registers and the first cache, as
many totals side by side as the micro-kernel has: no prefill can be faster.
"""

from __future__ import annotations

import functools
import mmap
import time
from typing import Any

import numpy as np

from jackfield.backend import MachineRates
from jackfield_backends.cpu.atomic import take
from jackfield_backends.cpu.cache import ObjectCache
from jackfield_backends.cpu.emit import I8, I32, Value, lanes_of, loop, reserve, zeros
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.kernel import Kernel, arg, kernel, store_i64
from jackfield_backends.cpu.linking import addresses_of
from jackfield_backends.cpu.memory import Arena
from jackfield_backends.cpu.operation import i32, i64, operation
from jackfield_backends.cpu.table import DRIVERS, Call, CallTable, Crew

__all__ = ["measure_rates"]

READ_BYTES = 256 << 20
CHUNK_BYTES = 128 << 10  # what a thread takes at a time, as decoding does
PREFETCH = 4096
LANES, CHAINS = 16, 4
NUM_VECTORS = 64  # 4 KiB of activations: in the first cache
NUM_ROUNDS = 20_000
MEASURED_S = 0.5

LARGEST_SMALL = 127  # of unsigned quants: products that are widened one by one


class _Totals:
    """Running totals of int32 lanes, which LLVM keeps in registers."""

    def __init__(self, builder: Any, lanes: int, count: int) -> None:
        self.builder = builder
        self.cells = [reserve(builder, lanes_of(I32, lanes)) for _ in range(count)]
        for cell in self.cells:
            builder.store(zeros(builder, I32, lanes).v, cell)

    def __getitem__(self, i: int) -> Value:
        return Value(self.builder, self.builder.load(self.cells[i]))

    def __setitem__(self, i: int, total: Value) -> None:
        self.builder.store(total.v, self.cells[i])

    def sum(self) -> Value:
        """Return all of them added up, so that none is left out as useless."""
        return functools.reduce(Value.__add__, [self[i] for i in range(len(self.cells))]).total()


@operation(i32, i64, i64)
def sum_bytes(address: Value, num_bytes: Value) -> Value:
    """Read memory, 256 bytes at a time."""
    totals = _Totals(address.b, LANES, CHAINS)
    with loop(num_bytes, step=64 * CHAINS) as at:
        line = address + at
        for i in range(CHAINS):
            line.prefetch(PREFETCH + 64 * i)
            totals[i] = totals[i] + line.load(I32, LANES, 64 * i)
    return totals.sum()


@operation(i32, i64, i64)
def multiply_bytes(address: Value, num_vectors: Value) -> Value:
    """Multiply each vector of bytes with as many broadcast words as the micro-kernel has tokens."""
    instructions = in_force()
    rows, num_tokens = instructions.tile.rows, instructions.tile.tokens
    totals = _Totals(address.b, rows, num_tokens)
    with loop(num_vectors) as number:
        line = address + number * 64
        words = [line.load(I32, 1, 4 * i).splat(rows).bits(I8) for i in range(num_tokens)]
        products = instructions.dot_small([(line.load(I8, 4 * rows), words)], LARGEST_SMALL)
        for i, product in enumerate(products):
            totals[i] = totals[i] + product
    return totals.sum()


@kernel
def read_memory(args: int, thread: int, num_threads: int) -> None:
    """Add up memory: address, bytes, counter, a cell a thread."""
    address, num_bytes, counter = arg(args, 0), arg(args, 1), arg(args, 2)
    total = 0
    start = take(counter, CHUNK_BYTES)
    while start < num_bytes:
        total += sum_bytes(address + start, CHUNK_BYTES)
        start = take(counter, CHUNK_BYTES)
    store_i64(arg(args, 3) + 64 * thread, total)


@kernel
def multiply_in_cache(args: int, thread: int, num_threads: int) -> None:
    """Multiply the same few vectors over and over: address, vectors, rounds, a cell a thread."""
    address, num_vectors = arg(args, 0), arg(args, 1)
    total = 0
    for _ in range(arg(args, 2)):
        total += multiply_bytes(address, num_vectors)
    store_i64(arg(args, 3) + 64 * thread, total)


def measure_rates(num_threads: int, cache: ObjectCache) -> MachineRates:
    """Measure for about a second."""
    memory = Arena()
    cells = memory.take(64 * num_threads, "rates")
    counter = memory.array(1, np.int64, "rates")
    addresses = addresses_of([*DRIVERS, read_memory, multiply_in_cache], cache, None)
    crew = Crew([addresses[driver] for driver in DRIVERS], num_threads, memory)

    def fastest_s(work: Kernel, *arguments: int) -> float:
        table = CallTable([Call(work, (*arguments, cells))], addresses, memory)
        found: list[float] = []
        stop_s = time.perf_counter() + MEASURED_S
        while not found or time.perf_counter() < stop_s:
            counter[0] = 0
            started_s = time.perf_counter()
            crew.run(table)
            found.append(time.perf_counter() - started_s)
        return min(found)

    try:
        vectors = memory.array(64 * NUM_VECTORS, np.int8, "rates")
        vectors[:] = 1
        multiply_s = fastest_s(multiply_in_cache, vectors.ctypes.data, NUM_VECTORS, NUM_ROUNDS)
        with mmap.mmap(-1, READ_BYTES + CHUNK_BYTES) as mapped:
            pages = np.frombuffer(mapped, np.uint8)
            pages[:] = 1  # memory that was never written is one page, read from the cache
            read_s = fastest_s(read_memory, pages.ctypes.data, READ_BYTES, counter.ctypes.data)
            del pages
    finally:
        crew.close()
    tile = in_force().tile
    num_products = num_threads * NUM_ROUNDS * NUM_VECTORS * tile.tokens * tile.rows * 4
    return MachineRates(READ_BYTES / read_s, 2 * num_products / multiply_s)
