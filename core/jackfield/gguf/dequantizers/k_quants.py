"""Super-blocks of 256 elements whose sub-blocks of 16 or 32 have small integer scales of their own.

``y = (d * scale) * q``, and where a format has minima ``- dmin * minimum``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.gguf.dequantizers.bits import F32, fields_of, fields_of_runs, halves, with_dtype
from jackfield.gguf.dequantizers.small_blocks import IQ4_VALUES

__all__ = ["DEQUANTIZERS"]

Bytes = npt.NDArray[np.uint8]

Q2_K = np.dtype([("scales", "u1", 16), ("qs", "u1", 64), ("d", "<f2"), ("dmin", "<f2")])
Q3_K = np.dtype([("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), ("d", "<f2")])
Q4_K = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qs", "u1", 128)])
Q5_K = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qh", "u1", 32), ("qs", "u1", 128)])
Q6_K = np.dtype([("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), ("d", "<f2")])
IQ4_XS = np.dtype([("d", "<f2"), ("scales_h", "<u2"), ("scales_l", "u1", 4), ("qs", "u1", 128)])


def q2_k(blocks: Bytes) -> F32:
    """Two bits; sub-blocks of 16 with a four-bit scale (low) and minimum (high)."""
    block = with_dtype(blocks, Q2_K)
    scales = halves(block["d"]) * (block["scales"] & 15).astype(np.float32)
    minima = halves(block["dmin"]) * (block["scales"] >> 4).astype(np.float32)
    quants = fields_of_runs(block["qs"], 32, 2)
    return _scaled(scales, quants, minima)


def q3_k(blocks: Bytes) -> F32:
    """Two bits and a third from a mask, less four; sub-blocks of 16 with six-bit scales, less 32."""
    block = with_dtype(blocks, Q3_K)
    low = fields_of_runs(block["scales"][:, :8], 8, 4)
    high = fields_of_runs(block["scales"][:, 8:], 4, 2)
    scales = (low | high << 4).astype(np.float32) - 32
    quants = fields_of_runs(block["qs"], 32, 2) | fields_of_runs(block["hmask"], 32, 1) << 2
    return _scaled(halves(block["d"]) * scales, quants.astype(np.float32) - 4)


def q4_k(blocks: Bytes) -> F32:
    """Four bits; sub-blocks of 32 with six-bit scales and minima."""
    block = with_dtype(blocks, Q4_K)
    scales, minima = _scales_and_minima(block["scales"])
    quants = fields_of_runs(block["qs"], 32, 4)
    return _scaled(halves(block["d"]) * scales, quants, halves(block["dmin"]) * minima)


def q5_k(blocks: Bytes) -> F32:
    """Four bits and a fifth from a mask; sub-blocks of 32 with six-bit scales and minima."""
    block = with_dtype(blocks, Q5_K)
    scales, minima = _scales_and_minima(block["scales"])
    quants = fields_of_runs(block["qs"], 32, 4) | fields_of_runs(block["qh"], 32, 1) << 4
    return _scaled(halves(block["d"]) * scales, quants, halves(block["dmin"]) * minima)


def q6_k(blocks: Bytes) -> F32:
    """Four bits and two more, less 32; sub-blocks of 16 with signed byte scales."""
    block = with_dtype(blocks, Q6_K)
    quants = fields_of_runs(block["ql"], 64, 4) | fields_of_runs(block["qh"], 32, 2) << 4
    scales = halves(block["d"]) * block["scales"].astype(np.float32)
    return _scaled(scales, quants.astype(np.float32) - 32)


def iq4_xs(blocks: Bytes) -> F32:
    """Four bits into ``IQ4_VALUES``; sub-blocks of 32 with six-bit scales, less 32."""
    block = with_dtype(blocks, IQ4_XS)
    high = fields_of(block["scales_h"][:, None], 2).astype(np.uint8)
    scales = (fields_of(block["scales_l"], 4) | high << 4).astype(np.float32) - 32
    return _scaled(halves(block["d"]) * scales, IQ4_VALUES[fields_of_runs(block["qs"], 16, 4)])


def _scales_and_minima(packed: Bytes) -> tuple[F32, F32]:
    """Return the eight scales and eight minima of Q4_K and Q5_K, six bits each, out of twelve bytes.

    The first four of each lie in the low six bits of bytes 0-3 and 4-7. The last four have their low
    half in bytes 8-11 and their upper two bits on top of the first ones.
    """
    first, second, last = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 63, last & 15 | first >> 6 << 4], axis=1)
    minima = np.concatenate([second & 63, last >> 4 | second >> 6 << 4], axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _scaled(scales: F32, quants: npt.NDArray[np.generic], minima: F32 | None = None) -> F32:
    """Multiply each sub-block by its scale and subtract its minimum."""
    sub_blocks = quants.astype(np.float32).reshape(*scales.shape, -1)
    values = scales[:, :, None] * sub_blocks
    if minima is not None:
        values -= minima[:, :, None]
    return values.reshape(len(scales), -1)


DEQUANTIZERS = {"Q2_K": q2_k, "Q3_K": q3_k, "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k, "IQ4_XS": iq4_xs}
