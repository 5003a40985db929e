"""The one order in which products with block formats are added up.

Block i of 32 columns belongs to *chain* i modulo 8. A chain starts at zero and is added to block after block,
``fma(dot, scale * d, chain)`` and then ``fma(minimum, ds, chain)`` where there is one; in formats of halves so for the
first 16 columns of a block and then for the others. Chains are summed by halves, in the order of ``LANE_BLOCKS``. Dot
products are whole numbers, so how they come about does not matter.

With few tokens the chains are the lanes of a vector (``linear_rows.py``); else they lie on the stack, and lanes are
rows (``linear_panels.py``). So a token's results are the same bits whatever else is in its step.
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield_backends.cpu.emit import F32, Value, stack_bytes, summed, zeros

__all__ = ["CHAINS", "LANE_BLOCKS", "Chains", "pairwise", "summed_fours"]

CHAINS = 8
LANE_BLOCKS = (0, 2, 4, 6, 1, 3, 5, 7)  # of 256 columns, as ``summed_fours`` of 64 columns each leaves them


def pairwise(x: Value, y: Value, size: int, high: int) -> Value:
    """Interleave lanes, or pairs of lanes, of the lower or upper half of each four."""
    mask: list[int] = []
    for i in range(2 * high, x.count, 4):
        first, second = range(i, i + 2), range(x.count + i, x.count + i + 2)
        mask += [*first, *second] if size == 2 else [first[0], second[0], first[1], second[1]]
    return x.lanes(mask, y)


def summed_fours(rows: Sequence[Value]) -> Value:
    """Sum each four lanes of four vectors: in the place of the fours, the four vectors' sums."""
    a, b, c, d = rows
    first, second = (pairwise(x, y, 1, 0) + pairwise(x, y, 1, 1) for x, y in ((a, b), (c, d)))
    return pairwise(first, second, 2, 0) + pairwise(first, second, 2, 1)


class Chains:
    """Running sums on the stack, of each total in eight chains.

    Nothing is cleared but one row of zeros, from which chains are read before their first block.
    """

    def __init__(self, num_blocks: Value, count: int, lanes: int) -> None:
        self._num_blocks, self._count, self._lanes = num_blocks, count, lanes
        self._num_bytes = 4 * lanes * count
        self._place = stack_bytes(num_blocks, CHAINS * self._num_bytes)
        self._zeros = stack_bytes(num_blocks, self._num_bytes)
        for i in range(count):
            self._zeros.store(zeros(num_blocks.b, F32, lanes), 4 * lanes * i)

    def before(self, block: Value) -> list[Value]:
        """Return the sums that a block is added to."""
        place = block.below(CHAINS).choose(self._zeros, self._chain(block))
        return [place.load(F32, self._lanes, 4 * self._lanes * i) for i in range(self._count)]

    def set(self, block: Value, sums: Sequence[Value]) -> None:
        """Replace them."""
        place = self._chain(block)
        for i, value in enumerate(sums):
            place.store(value, 4 * self._lanes * i)

    def totals(self) -> list[Value]:
        """Return the sums of all chains."""
        chains = [self._num_blocks.constant(chain) for chain in LANE_BLOCKS]
        places = [chain.below(self._num_blocks).choose(self._chain(chain), self._zeros) for chain in chains]
        return [
            summed([place.load(F32, self._lanes, 4 * self._lanes * i) for place in places])
            for i in range(self._count)
        ]

    def _chain(self, block: Value) -> Value:
        return self._place + (block & (CHAINS - 1)) * self._num_bytes
