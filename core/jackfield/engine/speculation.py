"""Decide how many guessed tokens a step verifies: as many as measured acceptance and cost let pay.

A step of T rows takes ``c(T)`` seconds, measured. With B sequences decoding, a token costs ``c(B) / B``;
that is the unit here. Verifying k guesses costs ``(c(T + k) - c(T)) / (c(B) / B)`` tokens and gains
``p + p^2 + … + p^k`` of them, p being the part of guesses that proved right so far.

Guesses are stopped where they do not pay: what a sequence has lost by them never exceeds ``TRIAL`` tokens
and ``SHARE`` of its text.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from jackfield.engine.drafting import Draft, Drafter
from jackfield.engine.prefix import common_length

__all__ = ["Price", "Speculation", "StepCosts"]

I32 = npt.NDArray[np.int32]
Price = Callable[[int], float]
"""What verifying so many guesses costs, in tokens."""
NO_IDEA = Draft(np.zeros(0, np.int32), 0)
MOST_GUESSES = 15
"""With the token before them a tile of 16 rows."""
TRIAL = 0.4
SHARE = 0.012
MOST_CREDIT = 4.0
"""Gains are forgotten beyond this, so that a text that stops repeating is noticed at once."""
FIRST_TRIALS = (1.0, 1.0)
"""Right and wrong guesses that are taken for granted before any was judged."""
MEMORY = 0.85
"""What earlier guesses still weigh after one more draft."""
SMOOTHING = 0.25
FORGETTING = 0.01
"""How much nearer to a hoped for price a longer step comes with each shorter one."""
SHORTEST_S = 1e-9
UNKNOWN_ROW = 0.1
"""What a row more than ever measured is thought to cost, in parts of the plain step."""
MOST_ROWS = 64
"""Longer steps say nothing of guesses."""
LEAP = 2
"""A step has at most so many times the rows of the longest that was measured."""


class StepCosts:
    """The seconds of a decoding step by its number of rows, as measured lately."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._seconds: dict[int, float] = {}

    def observe(self, num_rows: int, seconds: float) -> None:
        """Learn from a step in which every row decoded."""
        if num_rows > MOST_ROWS:
            return
        seconds = min([seconds, *self._bounds(num_rows)])
        known = self._seconds.get(num_rows)
        if known is None:
            bisect.insort(self._rows, num_rows)
            known = seconds
        self._seconds[num_rows] = known + SMOOTHING * (seconds - known)
        self._forget_longer(num_rows)

    def _bounds(self, num_rows: int) -> Iterator[float]:
        """Yield what such a step cannot have taken unless other work held it up."""
        known = self._seconds.get(num_rows)
        if known is not None:
            yield 2 * known
        for fewer in self._rows[: bisect.bisect_left(self._rows, num_rows)]:
            yield self._seconds[fewer] * num_rows / fewer

    def _forget_longer(self, num_rows: int) -> None:
        """Come to doubt that longer steps are dear: only so are they tried again."""
        for more in self._rows[bisect.bisect_right(self._rows, num_rows) :]:
            hoped = self._seconds[num_rows] * (1 + UNKNOWN_ROW * (more - num_rows))
            self._seconds[more] += FORGETTING * min(0.0, hoped - self._seconds[more])

    def price(self, num_sequences: int, num_rows: int) -> Price | None:
        """Return what more rows than ``num_rows`` cost, in tokens; ``None`` before a plain step was seen."""
        plain = self._seconds.get(num_sequences)
        if plain is None:
            return None
        start = self._estimate(num_rows, plain)
        token = max(plain / num_sequences, SHORTEST_S)
        return lambda extra: (self._estimate(num_rows + extra, plain) - start) / token

    def _estimate(self, num_rows: int, plain: float) -> float:
        place = bisect.bisect_left(self._rows, num_rows)
        last = self._rows[-1]
        if num_rows > LEAP * last:
            return math.inf
        if num_rows > last:
            return self._seconds[last] + (num_rows - last) * UNKNOWN_ROW * plain
        above = self._rows[place]
        if above == num_rows or not place:
            return self._seconds[above]
        below = self._rows[place - 1]
        part = (num_rows - below) / (above - below)
        return self._seconds[below] * (1 - part) + self._seconds[above] * part


class Speculation:
    """The guesses of one sequence, and what they have brought."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self._draft = NO_IDEA
        self._num_guessed = 0
        self._price: Price = free
        self._credit = TRIAL
        self._trials: dict[int, tuple[float, float]] = {}

    def guess(self, history: I32, most: int, price: Price) -> I32:
        """Return the tokens worth verifying with the next one, perhaps none.

        Args:
            most: How many there is room for.
            price: What verifying so many costs, in tokens.
        """
        most = min(most, MOST_GUESSES)
        self._draft = (self._drafter.draft(history, most) if most > 0 else None) or NO_IDEA
        self._price = price
        self._num_guessed = self._best()
        return self._draft.tokens[: self._num_guessed]

    def settle(self, taken: I32) -> None:
        """Learn from the tokens of a step; guesses that were not worth verifying are judged as well."""
        num_judged = min(taken.size, self._draft.tokens.size)
        num_right = common_length(self._draft.tokens[:num_judged], taken)
        if num_judged:
            right, wrong = self._trials.get(self._draft.evidence, FIRST_TRIALS)
            right, wrong = right * MEMORY + num_right, wrong * MEMORY + (num_right < num_judged)
            self._trials[self._draft.evidence] = (right, wrong)
        self._credit += SHARE * taken.size
        if self._num_guessed:  # priced anew: the step that verified them was measured
            self._credit += min(num_right, self._num_guessed) - self._price(self._num_guessed)
        self._credit = min(self._credit, MOST_CREDIT)
        self._draft, self._num_guessed = NO_IDEA, 0

    def _best(self) -> int:
        """Return the number of guesses that promises most, of those that can be paid."""
        right, wrong = self._trials.get(self._draft.evidence, FIRST_TRIALS)
        chance = right / (right + wrong)
        best, best_gain = 0, 0.0
        expected, reached = 0.0, 1.0
        for count in range(1, self._draft.tokens.size + 1):
            reached *= chance
            expected += reached
            cost = self._price(count)
            if cost > self._credit:
                break
            if expected - cost > best_gain:
                best, best_gain = count, expected - cost
        return best


def free(num_guessed: int) -> float:
    """Price guesses at nothing."""
    return 0.0
