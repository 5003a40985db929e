"""Pairs of a row and one of its experts, sorted by expert; those of one expert are a *group*.

What the sort leaves are tables, which every later call of the experts reads. One thread sorts: a counting sort, over
as many pairs as the step has rows times experts a row.
"""

from __future__ import annotations

from jackfield_backends.cpu.kernel import arg, kernel, load_i64, routine, store_i64
from jackfield_backends.cpu.quantize import FEW_TOKENS
from jackfield_backends.cpu.simd import load_i32
from jackfield_backends.cpu.tile import TILE

__all__ = ["GROUPS", "GROUP_BYTES", "NUM_GROUPS", "PLACES", "SOURCES", "group", "group_of"]

# the tables' words: a count, and the addresses of tables: of groups; by expert, pairs and then where the next goes; by
# pair, its row; by row and rank, the pair; by pair, its group
NUM_GROUPS, GROUPS, COUNTS, SOURCES, PLACES, GROUP_OF = range(6)
GROUP_BYTES = 32  # int64 words: expert, first pair, pairs, first slot of the slab


@routine
def padded_slots(count: int) -> int:
    """Return how many slots of a slab a group of that many pairs takes: as many as rows, or whole tiles of them."""
    return count if count <= FEW_TOKENS else (count + TILE - 1) // TILE * TILE


@kernel
def group(args: int, thread: int, num_threads: int) -> None:
    """Sort pairs by expert: rows cell, experts a row, chosen experts, bytes between rows, experts in all, tables."""
    if thread:
        return
    num_rows, k, chosen, step = load_i64(arg(args, 0)), arg(args, 1), arg(args, 2), arg(args, 3)
    num_experts, tables = arg(args, 4), arg(args, 5)
    groups, counts = arg(tables, GROUPS), arg(tables, COUNTS)
    for e in range(num_experts):
        store_i64(counts + 8 * e, 0)
    for t in range(num_rows):
        for j in range(k):
            cell = counts + 8 * load_i32(chosen + t * step + 4 * j)
            store_i64(cell, load_i64(cell) + 1)
    num_groups, first, slot = 0, 0, 0
    for e in range(num_experts):
        count = load_i64(counts + 8 * e)
        if count:
            entry = groups + GROUP_BYTES * num_groups
            store_i64(entry, e)
            store_i64(entry + 8, first)
            store_i64(entry + 16, count)
            store_i64(entry + 24, slot)
            # from now on: the next free place of the group, and the group's number
            store_i64(counts + 8 * e, first << 32 | num_groups)
            num_groups += 1
            first += count
            slot += padded_slots(count)
    store_i64(tables + 8 * NUM_GROUPS, num_groups)
    for t in range(num_rows):
        for j in range(k):
            cell = counts + 8 * load_i32(chosen + t * step + 4 * j)
            entry = load_i64(cell)
            store_i64(cell, entry + (1 << 32))
            place = entry >> 32
            store_i64(arg(tables, SOURCES) + 8 * place, t)
            store_i64(arg(tables, GROUP_OF) + 8 * place, entry & 0xFFFFFFFF)
            store_i64(arg(tables, PLACES) + 8 * (t * k + j), place)


@routine
def group_of(tables: int, pair: int) -> int:
    """Return the address of a pair's group."""
    return arg(tables, GROUPS) + GROUP_BYTES * load_i64(arg(tables, GROUP_OF) + 8 * pair)
