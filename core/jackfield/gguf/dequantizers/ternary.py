"""Ternary formats: ``y = d * t`` with t of -1, 0 or 1, in super-blocks of 256 elements."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.gguf.dequantizers.bits import F32, fields_of_runs, halves, with_dtype

__all__ = ["DEQUANTIZERS"]

Bytes = npt.NDArray[np.uint8]

TQ1_0 = np.dtype([("qs", "u1", 48), ("qh", "u1", 4), ("d", "<f2")])
TQ2_0 = np.dtype([("qs", "u1", 64), ("d", "<f2")])
POWERS = np.array([1, 3, 9, 27, 81], dtype=np.uint8)


def tq1_0(blocks: Bytes) -> F32:
    """Five base-3 digits a byte, four in the last four bytes."""
    block = with_dtype(blocks, TQ1_0)
    packed = block["qs"]
    parts = (_digits(packed[:, :32], 5), _digits(packed[:, 32:], 5), _digits(block["qh"], 4))
    return halves(block["d"]) * np.concatenate(parts, axis=1)


def tq2_0(blocks: Bytes) -> F32:
    """Two bits an element."""
    block = with_dtype(blocks, TQ2_0)
    return halves(block["d"]) * (fields_of_runs(block["qs"], 32, 2).astype(np.float32) - 1)


def _digits(packed: Bytes, count: int) -> F32:
    """Return the digits less one: all first digits, then all second ones.

    A byte is a fraction in 256ths. Times 3^k modulo 256 drops the k leading digits; the next one is what
    another factor of three carries over.
    """
    shifted = packed[:, None, :] * POWERS[:count, None]
    digits = shifted.astype(np.uint16) * 3 >> 8
    return digits.reshape(len(packed), -1).astype(np.float32) - 1


DEQUANTIZERS = {"TQ1_0": tq1_0, "TQ2_0": tq2_0}
