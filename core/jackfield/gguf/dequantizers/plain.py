"""Formats without blocks: one number after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["DEQUANTIZERS"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]


def bfloat16(blocks: Bytes) -> F32:
    """Widen bfloat16, the upper half of a float32."""
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _number(dtype: str) -> Callable[[Bytes], F32]:
    return lambda blocks: blocks.view(dtype).astype(np.float32)


DEQUANTIZERS = {
    "F32": _number("<f4"),
    "F16": _number("<f2"),
    "F64": _number("<f8"),
    "I8": _number("<i1"),
    "I16": _number("<i2"),
    "I32": _number("<i4"),
    "I64": _number("<i8"),
    "BF16": bfloat16,
}
