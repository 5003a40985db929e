"""Four-bit floats (sign, two exponent bits, one mantissa bit) with a scale for 32 or 16 of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.gguf.dequantizers.bits import F32, fields_of_runs, with_dtype

__all__ = ["DEQUANTIZERS"]

Bytes = npt.NDArray[np.uint8]

MXFP4 = np.dtype([("e", "u1"), ("qs", "u1", 16)])
NVFP4 = np.dtype([("scales", "u1", 4), ("qs", "u1", 32)])

DOUBLED = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], dtype=np.float32)
"""Twice the value of each four-bit float, so that all are whole; the scales make up for it."""


def mxfp4(blocks: Bytes) -> F32:
    """32 elements times ``2 ** (e - 128)``."""
    block = with_dtype(blocks, MXFP4)
    scale: F32 = np.ldexp(np.float32(1), block["e"].astype(np.int32) - 128)
    quants: F32 = DOUBLED[fields_of_runs(block["qs"], 16, 4)]
    return scale[:, None] * quants


def nvfp4(blocks: Bytes) -> F32:
    """Four sub-blocks of 16, each times half an unsigned eight-bit float."""
    block = with_dtype(blocks, NVFP4)
    quants: F32 = DOUBLED[fields_of_runs(block["qs"], 8, 4)].reshape(-1, 4, 16)
    return (_half_scale(block["scales"])[:, :, None] * quants).reshape(-1, 64)


def _half_scale(code: Bytes) -> F32:
    """Return half of each UE4M3 number: four exponent bits (bias 7), three mantissa bits; 127 means 0."""
    exponent = (code >> 3 & 15).astype(np.int32)
    mantissa = (code & 7).astype(np.float32)
    normal = np.ldexp(np.float32(1) + mantissa / np.float32(8), exponent - 8)
    subnormal = np.ldexp(mantissa, -10)
    value = np.where(exponent == 0, subnormal, normal)
    return np.where(code == 0x7F, np.float32(0), value)


DEQUANTIZERS = {"MXFP4": mxfp4, "NVFP4": nvfp4}
