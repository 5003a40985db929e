"""Bounds on a generation that work through the picked tokens: thinking that ends in time, a least length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["LengthMask", "thinking_budget"]

Bits = npt.NDArray[np.uint32]
ANSWER_SHARE = 3
"""The answer keeps at least one part in so many of a request's tokens."""


def thinking_budget(asked: int | None, max_tokens: int, answer_reserve: int, num_end_tokens: int) -> int:
    """Return how many tokens may be spent on thinking so that an answer still fits.

    Args:
        asked: The request's own limit; it can only make the budget smaller.
        max_tokens: All tokens the generation may have.
        answer_reserve: Tokens an answer should have, when a third of ``max_tokens`` is at least as much.
        num_end_tokens: Tokens that closing the thinking block takes.
    """
    reserve = min(answer_reserve, -(-max_tokens // ANSWER_SHARE)) + num_end_tokens
    budget = max(0, max_tokens - reserve)
    return budget if asked is None else min(asked, budget)


class LengthMask:
    """A ``TokenMask`` that closes an overlong thinking block and holds back an early end.

    When the budget is used up inside a thinking block, exactly the tokens of the closing text are allowed,
    one after the other. Before ``min_tokens`` tokens the end-of-generation tokens are not allowed.

    Args:
        is_thinking: Whether a thinking block is open now; asked before each token.
        end_tokens: The tokens that close it; empty for a format without thinking.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        is_thinking: Callable[[], bool],
        end_tokens: Sequence[int] = (),
        budget: int = 0,
        eog: Iterable[int] = (),
        min_tokens: int = 0,
    ) -> None:
        self._vocab_size = vocab_size
        self._is_thinking = is_thinking
        self._end_tokens = tuple(end_tokens)
        self._left_to_think = budget
        self._left_to_force: list[int] = []
        self._left_to_say = min_tokens
        self._unended = _all_but(vocab_size, eog) if min_tokens else None

    def bitmask(self) -> Bits | None:
        """Return the tokens allowed next; ``None`` when all are."""
        if not self._left_to_force and self._is_over_budget():
            self._left_to_force = list(self._end_tokens)
        if self._left_to_force:
            return _only(self._vocab_size, self._left_to_force[0])
        return self._unended if self._left_to_say > 0 else None

    def admits(self, token_id: int) -> bool:
        """Admit whatever is allowed."""
        return True

    def accept(self, token_id: int) -> None:
        """Advance by the token that was picked; a grammar may want another than the closing text's."""
        self._left_to_say -= 1
        if self._left_to_force:
            is_followed = token_id == self._left_to_force[0]
            self._left_to_force = self._left_to_force[1:] if is_followed else []
        elif self._is_thinking():
            self._left_to_think -= 1

    def _is_over_budget(self) -> bool:
        return bool(self._end_tokens) and self._left_to_think <= 0 and self._is_thinking()


def _only(vocab_size: int, token_id: int) -> Bits:
    bits = np.zeros(-(-vocab_size // 32), np.uint32)
    bits[token_id // 32] = np.uint32(1 << (token_id % 32))
    return bits


def _all_but(vocab_size: int, token_ids: Iterable[int]) -> Bits:
    bits = np.full(-(-vocab_size // 32), 0xFFFFFFFF, np.uint32)
    for token_id in token_ids:
        bits[token_id // 32] &= np.uint32(0xFFFFFFFF ^ (1 << (token_id % 32)))
    return bits
