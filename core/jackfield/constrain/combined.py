"""Two masks at once: a grammar, and a bound on length and thinking."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.engine.contract import TokenMask

__all__ = ["BothMasks"]

Bits = npt.NDArray[np.uint32]


class BothMasks:
    """Allows what two masks allow.

    Where nothing would be left, the grammar wins: what it does not allow cannot be read.
    """

    def __init__(self, grammar: TokenMask, bound: TokenMask) -> None:
        self._grammar = grammar
        self._bound = bound

    def bitmask(self) -> Bits | None:
        """Return the tokens allowed next."""
        one, other = self._grammar.bitmask(), self._bound.bitmask()
        if one is None or other is None:
            return other if one is None else one
        both: Bits = one & other
        return both if both.any() else one

    def admits(self, token_id: int) -> bool:
        """Tell whether both admit the token."""
        return self._grammar.admits(token_id) and self._bound.admits(token_id)

    def accept(self, token_id: int) -> None:
        """Advance both."""
        self._grammar.accept(token_id)
        self._bound.accept(token_id)
