"""Weights as float32 arrays, dequantised when first used and kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.backend import WeightSource
from jackfield.program import Weight

__all__ = ["FloatWeights"]

F32 = npt.NDArray[np.float32]


class FloatWeights:
    """Dequantise each tensor once."""

    def __init__(self, source: WeightSource) -> None:
        self._source = source
        self._tensors: dict[str, F32] = {}

    def array(self, weight: Weight) -> F32:
        """Return the rows the program uses, in the program's shape; a view of the whole tensor."""
        tensor = self._tensors.get(weight.name)
        if tensor is None:
            tensor = self._tensors[weight.name] = self._source[weight.name].to_float32()
        row_elements = int(np.prod(weight.shape[1:], dtype=np.int64))
        start, size = weight.row_start * row_elements, weight.shape[0] * row_elements
        return tensor.reshape(-1)[start : start + size].reshape(weight.shape)
