"""Rotary position tables: every flavour is linear in the position, so a table is one frequency a pair.

    angle_i(p) = p * frequencies[i]
    (a, b) -> magnitude * (a cos − b sin, a sin + b cos)

Sources: Su et al. 2021, arXiv:2104.09864; YaRN: Peng et al. 2023, arXiv:2309.00071.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = ["LongRope", "RopeLayout", "RopeTable", "Yarn", "make_rope_table"]


class RopeLayout(StrEnum):
    """Which columns of a head rotate together."""

    NORM = "norm"
    """Neighbours: ``(x[2i], x[2i + 1])``."""
    NEOX = "neox"
    """Halves: ``(x[i], x[i + num_rotated / 2])``."""


@dataclass(frozen=True)
class LongRope:
    """Other frequencies, for contexts of more than ``original_context_length`` tokens."""

    frequencies: tuple[float, ...]
    original_context_length: int


@dataclass(frozen=True)
class RopeTable:
    """Frequencies in radians a position, one a pair; ``magnitude`` scales cos and sin.

    A table with a ``long`` part is settled by ``for_context`` before a backend opens it.
    """

    frequencies: tuple[float, ...]
    layout: RopeLayout
    magnitude: float = 1.0
    long: LongRope | None = None

    @property
    def num_rotated(self) -> int:
        """Columns of a head that rotate."""
        return 2 * len(self.frequencies)

    def for_context(self, max_context: int) -> RopeTable:
        """Return the table of a context of that many tokens, without a ``long`` part."""
        if self.long is None:
            return self
        is_long = max_context > self.long.original_context_length
        return replace(self, frequencies=self.long.frequencies if is_long else self.frequencies, long=None)


@dataclass(frozen=True)
class Yarn:
    """YaRN's interpolation: fast pairs keep their frequency, slow ones are stretched by ``factor``."""

    factor: float
    original_context_length: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    log_multiplier: float = 0.0

    @property
    def magnitude(self) -> float:
        """What cos and sin are multiplied by."""
        whole = self._magnitude(1.0)
        return whole / self._magnitude(self.log_multiplier) if self.log_multiplier else whole

    def _magnitude(self, k: float) -> float:
        return 1.0 if self.factor <= 1 else 1.0 + 0.1 * k * math.log(self.factor)

    def keep(self, num_rotated: int, base: float) -> list[float]:
        """Return for each pair the share of its own frequency that is kept, 0 to 1."""
        low = max(0.0, math.floor(self._pair_of(self.beta_fast, num_rotated, base)))
        high = min(num_rotated - 1.0, math.ceil(self._pair_of(self.beta_slow, num_rotated, base)))
        span = max(0.001, high - low)
        return [1.0 - min(1.0, max(0.0, (i - low) / span)) for i in range(num_rotated // 2)]

    def _pair_of(self, rotations: float, num_rotated: int, base: float) -> float:
        wavelengths = self.original_context_length / (2 * math.pi * rotations)
        return num_rotated * math.log(wavelengths) / (2 * math.log(base))


def make_rope_table(
    num_rotated: int,
    base: float,
    layout: RopeLayout,
    *,
    scale: float = 1.0,
    factors: Sequence[float] | None = None,
    yarn: Yarn | None = None,
    magnitude: float = 1.0,
) -> RopeTable:
    """Make the table of one layer kind.

    Args:
        num_rotated: Columns of a head that rotate, even.
        base: Theta.
        scale: Position scale, 1 / factor of linear scaling; ignored with ``yarn``.
        factors: Divisors of the frequencies, one a pair (``rope_freqs``, long and short factors).
        magnitude: Extra factor of cos and sin.
    """
    pairs = num_rotated // 2
    plain = [base ** (-2.0 * i / num_rotated) for i in range(pairs)]
    if factors is not None:
        plain = [frequency / factor for frequency, factor in zip(plain, factors, strict=True)]
    if yarn is None:
        return RopeTable(tuple(scale * f for f in plain), layout, magnitude)
    keep = yarn.keep(num_rotated, base)
    mixed = (f * ((1 - k) / yarn.factor + k) for f, k in zip(plain, keep, strict=True))
    return RopeTable(tuple(mixed), layout, magnitude * yarn.magnitude)
