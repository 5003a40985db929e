"""The tokens still in the draw, and the memory to work in.

Dimension letters: V vocabulary, n tokens still in the draw.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Candidates", "Scratch"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]


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
        self.ids = self.ids.take(indices)
        self.logits = self.logits.take(indices)

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
