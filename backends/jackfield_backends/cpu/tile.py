"""How many rows and tokens a micro-kernel multiplies in one pass, and which passes take how many tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

__all__ = ["Tile"]


@dataclass(frozen=True)
class Tile:
    """What a micro-kernel multiplies in one pass, its totals in registers.

    Attributes:
        rows: Of a panel: 16 or fewer, a power of two.
        passes: The numbers of tokens that one pass may take, the largest first, which is to divide 12.
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
    """Return a cost in tokens: whatever a pass takes, it reads the panel, which costs about two tokens."""
    return sum(passes) + 2 * len(passes)
