"""Random numbers that depend on a request's seed and on nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Draws"]


class Draws:
    """The random numbers of one sequence.

    The raw stream of a bit generator is promised to stay the same over numpy versions; that of
    ``Generator.random`` is not.
    """

    __slots__ = ("_bits",)

    def __init__(self, seed: int | None) -> None:
        self._bits = np.random.PCG64(None if seed is None else seed % 2**64)

    def uniform(self) -> float:
        """Return the next number in [0, 1), with 53 random bits."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def uniforms(self, count: int) -> npt.NDArray[np.float64]:
        """Return the next numbers, as many calls of ``uniform`` would."""
        raw = self._bits.random_raw(count)
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
