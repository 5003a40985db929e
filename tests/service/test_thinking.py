"""Thinking ends in time for an answer, and an answer not before its least length."""

from __future__ import annotations

import numpy as np
import pytest

from jackfield.service.thinking import LengthMask, thinking_budget


@pytest.mark.parametrize(
    ("asked", "max_tokens", "expected"),
    [(None, 150, 98), (None, 20_000, 18_974), (30, 150, 30), (500, 150, 98), (None, 1, 0), (0, 100, 0)],
)
def test_budget_leaves_room_for_an_answer(asked: int | None, max_tokens: int, expected: int) -> None:
    assert thinking_budget(asked, max_tokens, answer_reserve=1024, num_end_tokens=2) == expected


def test_closing_tokens_are_forced_one_by_one_then_all_is_free() -> None:
    thinking = [True]
    mask = LengthMask(100, is_thinking=lambda: thinking[0], end_tokens=[40, 41], budget=2)
    for token in (7, 8):
        assert mask.bitmask() is None
        mask.accept(token)
    for token in (40, 41):
        assert _allowed(mask) == [token]
        mask.accept(token)
    thinking[0] = False
    assert mask.bitmask() is None


def test_end_is_held_back_until_the_least_length() -> None:
    mask = LengthMask(70, is_thinking=lambda: False, eog=[3, 69], min_tokens=1)
    assert _allowed(mask) == [token for token in range(70) if token not in (3, 69)]
    mask.accept(1)
    assert mask.bitmask() is None


def _allowed(mask: LengthMask) -> list[int]:
    bits = mask.bitmask()
    assert bits is not None
    flags = np.unpackbits(bits.view(np.uint8), bitorder="little")
    return [int(index) for index in np.flatnonzero(flags) if index < mask._vocab_size]
