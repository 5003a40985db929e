"""The tokens still in the draw, and the selections that truncating stages are made of.

Nothing here sorts a vocabulary: a selection partitions it, or bins it and sorts one bin.
Dimension letters: V vocabulary, n tokens still in the draw.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Candidates", "highest", "smallest_keys_of_mass"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]

NUM_BINS = 4096
FEW = 512
"""Below this many, sorting is cheaper than anything clever."""


class Candidates:
    """The tokens still in the draw.

    Stages change ``logits`` in place and shrink the set with ``keep``.

    Attributes:
        ids: ``[n]`` token ids, ascending; never written to.
        logits: ``[n]`` their logits; ``-inf`` for tokens that must not be picked.
    """

    __slots__ = ("ids", "logits")

    def __init__(self, ids: I32, logits: F32) -> None:
        self.ids = ids
        self.logits = logits

    def __len__(self) -> int:
        return self.logits.size

    def keep(self, indices: Indices) -> None:
        """Keep only the tokens at these places, given in ascending order."""
        self.ids = self.ids[indices]
        self.logits = self.logits[indices]

    def lower(self, ids: I32, amounts: F32) -> None:
        """Subtract from the logits of these tokens; ids that have left the draw are passed over."""
        places = np.minimum(np.searchsorted(self.ids, ids), len(self) - 1)
        present = self.ids[places] == ids
        self.logits[places[present]] -= amounts[present]

    def probabilities(self) -> F64:
        """Return the softmax of the logits, ``[n]``."""
        weights: F64 = np.exp(self.logits - self.logits.max()).astype(np.float64)
        weights /= weights.sum()
        return weights


def highest(values: F32, count: int) -> Indices:
    """Return the places of the ``count`` highest values, ascending; among equals the first ones win."""
    if count >= values.size:
        return np.arange(values.size)
    threshold = np.partition(values, values.size - count)[values.size - count]
    above = np.flatnonzero(values > threshold)
    ties = np.flatnonzero(values == threshold)[: count - above.size]
    return np.sort(np.concatenate((above, ties)))


def smallest_keys_of_mass(keys: npt.NDArray[np.floating], probabilities: F64, mass: float) -> Indices:
    """Return the places, ascending, of the smallest keys whose probabilities reach ``mass`` together.

    At least one place is returned; the one that crosses ``mass`` is included; among equal keys the
    first ones win. Keys may be infinite where the probability is 0.
    """
    if keys.size <= FEW:
        return np.sort(_reach(np.argsort(keys, kind="stable"), probabilities, mass))
    bins = _bins(keys)
    mass_by_bin = np.bincount(bins, weights=probabilities, minlength=NUM_BINS)
    reached = np.cumsum(mass_by_bin)
    crossing = min(int(np.searchsorted(reached, mass)), NUM_BINS - 1)
    below = np.flatnonzero(bins < crossing)
    within = np.flatnonzero(bins == crossing)
    within = within[np.argsort(keys[within], kind="stable")]
    missing = mass - (reached[crossing] - mass_by_bin[crossing])
    return np.sort(np.concatenate((below, _reach(within, probabilities, missing))))


def _reach(order: Indices, probabilities: F64, mass: float) -> Indices:
    reached = np.cumsum(probabilities[order])
    reaching: Indices = order[: int(np.searchsorted(reached, mass)) + 1]
    return reaching


def _bins(keys: npt.NDArray[np.floating]) -> Indices:
    """Number the keys' bins, ascending; one bin at each end takes what lies far out."""
    finite = keys[np.isfinite(keys)]
    low = float(finite.min()) if finite.size else 0.0
    # what lies 24 nats or more beyond the best key carries next to no probability
    scale = (NUM_BINS - 1) / min(max(float(finite.max()) - low, 1e-6), 24.0) if finite.size else 1.0
    bins: Indices = np.minimum((keys - low) * scale, NUM_BINS - 1).astype(np.intp)
    return bins
