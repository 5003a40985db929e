"""The tokens still in the draw, and the selections that truncating stages are made of.

Nothing here sorts a vocabulary, and nothing of a vocabulary's size is allocated for a token: fresh memory costs
more than what is computed in it. Dimension letters: V vocabulary, n tokens still in the draw.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Candidates", "Scratch", "highest", "likeliest", "smallest_keys_of_mass"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]

BLOCK = 512
NUM_BINS = 4096
FEW = 2048
"""Up to this many are sorted: anything clever would take longer."""
THRESHOLDS = (3e-2, 1e-3, 3e-5)
"""Where the likeliest tokens are looked for first, as parts of the best token's probability."""


class Scratch:
    """Memory of the size of the vocabulary, for one thread to work in.

    Attributes:
        ids: Every id, read-only.
        logits: The logits while they are edited.
        weights: What ``Candidates.weights`` returns.
    """

    def __init__(self, vocab_size: int) -> None:
        self.ids = np.arange(vocab_size, dtype=np.int32)
        self.ids.flags.writeable = False
        self.logits: F32 = np.empty(vocab_size, np.float32)
        self.weights: F32 = np.empty(vocab_size, np.float32)


class Candidates:
    """The tokens still in the draw.

    Stages change ``logits`` in place and shrink the set with ``keep``.

    Attributes:
        ids: ``[n]`` token ids, ascending; never written to.
        logits: ``[n]`` their logits; ``-inf`` for tokens that must not be picked.
    """

    __slots__ = ("_scratch", "ids", "logits")

    def __init__(self, ids: I32, logits: F32, scratch: Scratch | None = None) -> None:
        self.ids = ids
        self.logits = logits
        self._scratch = np.empty_like(logits) if scratch is None else scratch.weights

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

    def weights(self) -> F32:
        """Return the probabilities, ``[n]``, times a number that makes the best one's 1.

        The array is overwritten by the next call.
        """
        weights = self._scratch[: len(self)]
        np.subtract(self.logits, self.logits.max(), out=weights)
        return np.exp(weights, out=weights)

    def probabilities(self) -> F64:
        """Return the softmax of the logits, ``[n]``."""
        weights: F64 = self.weights().astype(np.float64)
        weights /= weights.sum()
        return weights


def highest(values: F32, count: int) -> Indices:
    """Return the places of the ``count`` highest values, ascending; among equals the first ones win."""
    if count >= values.size:
        return np.arange(values.size)
    places = _holding_highest(values, count)
    few = values[places]
    threshold = np.partition(few, few.size - count)[few.size - count]
    above = places[few > threshold]
    ties = places[few == threshold][: count - above.size]
    return np.sort(np.concatenate((above, ties)))


def likeliest(weights: F32, mass: float) -> Indices:
    """Return the places, ascending, of the highest weights that make up ``mass`` of their sum together.

    At least one place is returned; the one that crosses ``mass`` is included; among equals the first
    ones win.
    """
    wanted = mass * float(weights.sum())
    places = _holding_mass(weights, wanted)
    few = weights[places]
    return places[smallest_keys_of_mass(-few, few, wanted)]


def smallest_keys_of_mass(keys: F32, weights: F32, mass: float) -> Indices:
    """Return the places, ascending, of the smallest keys, all finite, whose weights reach ``mass`` together.

    At least one place is returned; the one that crosses ``mass`` is included; among equal keys the
    first ones win.
    """
    if keys.size <= FEW:
        return np.sort(_reach(np.argsort(keys, kind="stable"), weights, mass))
    bins = _bins(keys)
    mass_by_bin = np.bincount(bins, weights=weights, minlength=NUM_BINS)
    reached = np.cumsum(mass_by_bin)
    crossing = min(int(np.searchsorted(reached, mass)), NUM_BINS - 1)
    below = np.flatnonzero(bins < crossing)
    within = np.flatnonzero(bins == crossing)
    within = within[np.argsort(keys[within], kind="stable")]
    missing = mass - (reached[crossing] - mass_by_bin[crossing])
    return np.sort(np.concatenate((below, _reach(within, weights, missing))))


def _holding_highest(values: F32, count: int) -> Indices:
    """Return places, ascending, that hold the ``count`` highest values and not many others.

    The count-th highest of the blocks' maxima bounds the count-th highest value from below.
    """
    num_blocks = values.size // BLOCK
    if count * 4 > num_blocks:
        return np.arange(values.size)
    whole = values[: num_blocks * BLOCK].reshape(num_blocks, BLOCK)
    maxima = whole.max(axis=1)
    bound = np.partition(maxima, num_blocks - count)[num_blocks - count]
    rows = np.flatnonzero(maxima >= bound)
    row, column = np.nonzero(whole[rows] >= bound)
    rest = np.flatnonzero(values[num_blocks * BLOCK :] >= bound)
    return np.concatenate((rows[row] * BLOCK + column, rest + num_blocks * BLOCK))


def _holding_mass(weights: F32, wanted: float) -> Indices:
    """Return places, ascending, of all weights from some threshold on, which sum to ``wanted`` or more."""
    for threshold in THRESHOLDS:
        places = np.flatnonzero(weights >= threshold)
        if float(weights[places].sum()) > wanted:
            return places
    # what is rarer than this makes up less than the rest, even if all of it is
    rarest = max(float(weights.sum()) - wanted, 0.0) / weights.size
    return np.flatnonzero(weights >= rarest)


def _reach(order: Indices, weights: F32, mass: float) -> Indices:
    reached = np.cumsum(weights[order], dtype=np.float64)
    reaching: Indices = order[: int(np.searchsorted(reached, mass)) + 1]
    return reaching


def _bins(keys: F32) -> Indices:
    """Number the keys' bins, ascending; the last one takes what lies far out."""
    low = keys.min()
    # what lies 24 nats or more beyond the best key carries next to no probability
    width = min(max(float(keys.max()) - float(low), 1e-6), 24.0)
    scaled = keys - low
    scaled *= np.float32((NUM_BINS - 1) / width)
    np.minimum(scaled, np.float32(NUM_BINS - 1), out=scaled)
    bins: Indices = scaled.astype(np.intp)
    return bins
