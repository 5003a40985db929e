"""Masks that apply in turn: thinking is free, the answer is constrained, and neither outlasts its limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jackfield.engine.contract import TokenMask

__all__ = ["AnswerMask", "BothMasks"]

Bits = npt.NDArray[np.uint32]


class AnswerMask:
    """Applies a mask outside thinking only.

    Args:
        mask: The answer's grammar.
        is_thinking: Whether a thinking block is open; asked before each token, and for the token before it.
    """

    def __init__(self, mask: TokenMask, is_thinking: Callable[[], bool]) -> None:
        self._mask = mask
        self._is_thinking = is_thinking
        self._was_thinking = False

    def bitmask(self) -> Bits | None:
        """Return the tokens allowed next; ``None`` while thinking."""
        self._was_thinking = self._is_thinking()
        return None if self._was_thinking else self._mask.bitmask()

    def accept(self, token_id: int) -> None:
        """Advance by a token of the answer; one picked while thinking, its end included, is not of it."""
        if not self._was_thinking:
            self._mask.accept(token_id)


class BothMasks:
    """Allows what two masks allow.

    Where nothing would be left, the first one wins: it is the limit that closes a thinking block.
    """

    def __init__(self, first: TokenMask, second: TokenMask) -> None:
        self._first = first
        self._second = second

    def bitmask(self) -> Bits | None:
        """Return the tokens allowed next."""
        one, other = self._first.bitmask(), self._second.bitmask()
        if one is None or other is None:
            return other if one is None else one
        both: Bits = one & other
        return both if both.any() else one

    def accept(self, token_id: int) -> None:
        """Advance both."""
        self._first.accept(token_id)
        self._second.accept(token_id)
