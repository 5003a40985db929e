"""How attention is divided: query rows into tiles, a tile's keys into parts.

The query rows of a sequence (tokens x group) are cut into tiles. The keys of a row lie in at most ``MOST_PARTS``
parts that begin at multiples of the part's size; the size follows from what the row itself sees:
a power of two, ``SMALLEST_PART`` or more than a sixteenth. A row's parts are always summed by themselves
and added in order, whoever computes them.

Few long tiles leave threads idle, so the parts of a tile that holds more than an even share of the work become
pieces of their own; otherwise the piece is the tile. Pieces decide who computes what, never the result.
"""

from __future__ import annotations

from dataclasses import dataclass

from jackfield.program import Rows
from jackfield_backends.cpu.attention_products import BLOCK
from jackfield_backends.cpu.attention_softmax import first_seen
from jackfield_backends.cpu.kernel import arg, kernel, load_i64, routine, store_i64
from jackfield_backends.cpu.lowering import Lowering
from jackfield_backends.cpu.simd import load_i32, store_i32
from jackfield_backends.cpu.table import Call

__all__ = [
    "ALL", "COUNT", "FIRST", "FIRST_PART", "HEADER", "PART", "PARTS", "PIECE_BYTES", "QUERY", "SIZE", "SLOT", "TILE",
    "Pieces", "TileShape", "lower_pieces", "most_part_size",
]  # fmt: skip

SMALLEST_PART = 4 * BLOCK
SHARE = 16  # parts that the positions a row sees have at most, and one more at either end of a window
MOST_PARTS = SHARE + 2
FINE = 8  # pieces a thread should find
HEADER = 64  # bytes before the pieces: how many there are
# fields of a piece, int32: the first row of its tile's sequence (or of a stretch of it), the first of its query rows
# from there on and how many; the size of a part, the tile's first part and how many; the piece's one part, or ``ALL``
# with a number of the tile and its place among the slots
FIRST, QUERY, COUNT, SIZE, FIRST_PART, PARTS, PART, TILE, SLOT, PIECE_BYTES = range(0, 40, 4)
ALL = -1


@routine
def part_size(origin: int, end: int, window: int) -> int:
    """Return how many positions a part of a row's keys spans: a multiple of the block.

    Args:
        origin: Where the row's window is measured from.
        end: The last position it sees.
    """
    seen = end + 1 - first_seen(origin, window)
    size = SMALLEST_PART
    while size * SHARE < seen:
        size *= 2
    return size


@routine
def write_tiles(
    num_rows: int, origins: int, ends: int, sequences: int, window: int, group: int, most: int, tiles: int
) -> int:
    """Cut the query rows into tiles of at most ``most`` and return how many; parts are those of the whole tile."""
    count, first = 0, 0
    while first < num_rows:
        size = part_size(load_i32(origins + 4 * first), load_i32(ends + 4 * first), window)
        stop = first + 1
        while (
            stop < num_rows
            and load_i32(sequences + 4 * stop) == load_i32(sequences + 4 * first)
            and part_size(load_i32(origins + 4 * stop), load_i32(ends + 4 * stop), window) == size
        ):
            stop += 1
        queries = (stop - first) * group
        for query in range(0, queries, most):
            at, here = tiles + PIECE_BYTES * count, min(most, queries - query)
            low = first_seen(load_i32(origins + 4 * (first + query // group)), window) // size
            high = load_i32(ends + 4 * (first + (query + here - 1) // group)) // size
            store_i32(at + FIRST, first)
            store_i32(at + QUERY, query)
            store_i32(at + COUNT, here)
            store_i32(at + SIZE, size)
            store_i32(at + FIRST_PART, low)
            store_i32(at + PARTS, high + 1 - low)
            store_i32(at + PART, ALL)
            count += 1
        first = stop
    return count


@routine
def work_of(tile: int) -> int:
    """Return about how many scores a tile has."""
    work: int = load_i32(tile + COUNT) * load_i32(tile + SIZE) * load_i32(tile + PARTS)
    return work


@routine
def copy_piece(source: int, target: int) -> None:
    """Copy a piece."""
    for i in range(0, PIECE_BYTES, 4):
        store_i32(target + i, load_i32(source + i))


@kernel
def cut(args: int, thread: int, num_threads: int) -> None:
    """Cut the query rows into tiles and the tiles into pieces.

    Its arguments: rows cell, origins, ends, sequences, window, group, key heads, rows of a pass, most rows of a tile,
    rows that there are slots for, pieces, room for as many tiles.
    """
    if thread != 0:
        return
    num_rows, window, group, heads = load_i64(arg(args, 0)), arg(args, 4), arg(args, 5), arg(args, 6)
    at_once, most, num_slots, pieces, tiles = (
        arg(args, 7), arg(args, 8), arg(args, 9), arg(args, 10), arg(args, 11)
    )  # fmt: skip
    share = num_rows * group * heads // (FINE * num_threads)
    most = min(most, max(group + at_once - 1, share) // at_once * at_once)
    num_tiles = write_tiles(num_rows, arg(args, 1), arg(args, 2), arg(args, 3), window, group, most, tiles)
    total = 0
    for i in range(num_tiles):
        total += work_of(tiles + PIECE_BYTES * i)
    count, split, slot = 0, 0, 0
    for i in range(num_tiles):
        tile = tiles + PIECE_BYTES * i
        rows, parts = load_i32(tile + COUNT), load_i32(tile + PARTS)
        slots = (rows + at_once) * parts
        if parts > 1 and work_of(tile) * FINE * num_threads > total * heads and slot + slots <= num_slots:
            for part in range(parts):
                piece = pieces + HEADER + PIECE_BYTES * count
                copy_piece(tile, piece)
                store_i32(piece + PART, part)
                store_i32(piece + TILE, split)
                store_i32(piece + SLOT, slot)
                count += 1
            slot += slots
            split += 1
        else:
            copy_piece(tile, pieces + HEADER + PIECE_BYTES * count)
            count += 1
    store_i64(pieces, count)


def most_part_size(max_context: int) -> int:
    """Return the size of the largest part there can be."""
    return max(SMALLEST_PART, 1 << max(0, -(-max_context // SHARE) - 1).bit_length())


@dataclass(frozen=True)
class TileShape:
    """How query rows are taken: ``at_once`` in a pass, at most ``most`` in a tile, of ``group`` a token and head.

    Attributes:
        heads: Key heads.
        state_bytes: What a row's sums and products take.
    """

    group: int
    heads: int
    at_once: int
    most: int
    state_bytes: int


@dataclass(frozen=True)
class Pieces:
    """The pieces of a step.

    Attributes:
        address: Of their number, and ``HEADER`` bytes on of the pieces.
        num_slots: Most rows that split tiles keep sums for, together, for each key head.
        slots: Where those are.
        splits: Cells that count, for each split tile and key head, the parts that are done.
    """

    address: int
    num_slots: int
    slots: int
    splits: int


def lower_pieces(lowering: Lowering, rows: Rows, shape: TileShape, window: int) -> Pieces:
    """Have the query rows cut once a step for all layers that cut them alike."""
    tables, heads = lowering.tables, shape.heads
    num_splits = max(1, FINE * lowering.limits.num_threads // heads)
    num_slots = num_splits * MOST_PARTS * 2 * shape.at_once

    def prepare() -> tuple[Call, Pieces]:
        most_tiles = lowering.max_rows(rows) * -(-shape.group // shape.at_once)
        tiles = lowering.memory(PIECE_BYTES * most_tiles, "attention tiles")
        # a part takes more than ``at_once`` slots, so there are fewer pieces of split tiles than this
        most_pieces = most_tiles + num_slots // shape.at_once
        size = HEADER + PIECE_BYTES * most_pieces
        pieces = Pieces(
            lowering.memory(size, "attention pieces"), num_slots,
            lowering.memory(num_slots * heads * shape.state_bytes, "sums of parts"),
            lowering.memory(8 * num_splits * heads, "attention pieces"),
        )  # fmt: skip
        call = Call(
            cut,
            (tables.num_rows(rows), tables.origins(rows), tables.ends(rows), tables.sequences(rows), window,
             shape.group, heads, shape.at_once, shape.most, num_slots, pieces.address, tiles),
        )  # fmt: skip
        return call, pieces

    found: Pieces = lowering.once_a_step(("pieces", rows, shape, window), prepare)
    return found
