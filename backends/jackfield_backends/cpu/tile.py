"""How many rows and tokens a micro-kernel multiplies in one pass, and which passes take how many tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from jackfield_backends.cpu.emit import I64, Value, data_address, loop

__all__ = ["TILE", "Tile", "each_pass"]

TILE = 12  # tokens whose activations lie together, and that a micro-kernel takes in one call


@dataclass(frozen=True)
class Tile:
    """What a micro-kernel multiplies in one pass, the products of it in registers.

    Attributes:
        rows: Of a panel: 16 or fewer, a power of two.
        passes: The numbers of tokens that one pass may take, the largest first, which is to divide ``TILE``.
    """

    rows: int
    passes: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """The most that a pass takes."""
        return self.passes[0]

    def passes_for(self, num_tokens: int) -> tuple[int, ...]:
        """Return the cheapest passes that take so many tokens; the last may have places left over."""
        most = -(-num_tokens // self.passes[-1])
        choices = (
            chosen
            for count in range(1, most + 1)
            for chosen in combinations_with_replacement(self.passes, count)
            if sum(chosen) >= num_tokens
        )
        return min(choices, key=lambda chosen: (_pass_cost(chosen), len(chosen), chosen))


def _pass_cost(passes: Sequence[int]) -> int:
    """Return a cost in tokens: each pass reads the panel again.

    Two for that is no measurement, it prefers one pass of 12 to 8 and 4 or 6 and 4; on AVX2, where two passes of 3
    cost as much as one of 4 and one of 2, any number would do.
    """
    return sum(passes) + 2 * len(passes)


def each_pass(tile: Tile, num_tokens: Value) -> Iterator[tuple[int, Value]]:
    """Write what follows for each pass over so many tokens, at most ``TILE``: its size and its first token."""
    name = f"passes_{'_'.join(map(str, tile.passes))}"
    numbers = data_address(num_tokens.b, name, _numbers_of_passes(tile)) + num_tokens * (8 * len(tile.passes))
    first = num_tokens.constant(0)
    for i, size in enumerate(tile.passes):
        number = (numbers + 8 * i).load(I64)
        with loop(number) as j:
            yield size, first + j * size
        first = first + number * size


def _numbers_of_passes(tile: Tile) -> bytes:
    """Return, for each number of tokens from 0, how many passes of each size take them."""
    chosen = [(), *(tile.passes_for(count) for count in range(1, TILE + 1))]
    return np.array([[passes.count(size) for size in tile.passes] for passes in chosen], "<i8").tobytes()
