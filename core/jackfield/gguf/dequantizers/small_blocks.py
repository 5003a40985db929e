"""Blocks of 32 to 128 elements with one scale: ``y = d * q`` or ``y = d * q + m``.

Bytes of four-bit formats hold element j in the low half and element j + 16 in the high half.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jackfield.gguf.dequantizers.bits import F32, fields_of, fields_of_runs, floats, halves, with_dtype

__all__ = ["DEQUANTIZERS", "IQ4_VALUES"]

Bytes = npt.NDArray[np.uint8]

Q4_0 = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
Q4_1 = np.dtype([("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16)])
Q5_0 = np.dtype([("d", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])
Q5_1 = np.dtype([("d", "<f2"), ("m", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])
Q8_0 = np.dtype([("d", "<f2"), ("qs", "i1", 32)])
Q1_0 = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
Q2_0 = np.dtype([("d", "<f2"), ("qs", "u1", 16)])

IQ4_VALUES = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.float32
)
"""The sixteen levels of IQ4_NL and IQ4_XS, closer together near zero."""


def q4_0(blocks: Bytes) -> F32:
    """``d * (q - 8)``, four bits."""
    block = with_dtype(blocks, Q4_0)
    return halves(block["d"]) * (floats(fields_of_runs(block["qs"], 16, 4)) - 8)


def q4_1(blocks: Bytes) -> F32:
    """``d * q + m``, four bits."""
    block = with_dtype(blocks, Q4_1)
    return halves(block["d"]) * floats(fields_of_runs(block["qs"], 16, 4)) + halves(block["m"])


def q5_0(blocks: Bytes) -> F32:
    """``d * (q - 16)``, four bits and a fifth from a mask."""
    block = with_dtype(blocks, Q5_0)
    quants = fields_of_runs(block["qs"], 16, 4) | fields_of(block["qh"], 1) << 4
    return halves(block["d"]) * (floats(quants) - 16)


def q5_1(blocks: Bytes) -> F32:
    """``d * q + m``, four bits and a fifth from a mask."""
    block = with_dtype(blocks, Q5_1)
    quants = fields_of_runs(block["qs"], 16, 4) | fields_of(block["qh"], 1) << 4
    return halves(block["d"]) * floats(quants) + halves(block["m"])


def q8_0(blocks: Bytes) -> F32:
    """``d * q``, signed bytes."""
    block = with_dtype(blocks, Q8_0)
    return halves(block["d"]) * floats(block["qs"])


def iq4_nl(blocks: Bytes) -> F32:
    """``d * IQ4_VALUES[q]``, four bits."""
    block = with_dtype(blocks, Q4_0)
    levels: F32 = IQ4_VALUES[fields_of_runs(block["qs"], 16, 4)]
    return halves(block["d"]) * levels


def q1_0(blocks: Bytes) -> F32:
    """``d`` where the bit is set, else ``-d``; 128 elements in order."""
    block = with_dtype(blocks, Q1_0)
    return halves(block["d"]) * (2 * floats(fields_of(block["qs"], 1)) - 1)


def q2_0(blocks: Bytes) -> F32:
    """``d * (q - 1)``, two bits; 64 elements in order."""
    block = with_dtype(blocks, Q2_0)
    return halves(block["d"]) * (floats(fields_of(block["qs"], 2)) - 1)


DEQUANTIZERS = {
    "Q4_0": q4_0,
    "Q4_1": q4_1,
    "Q5_0": q5_0,
    "Q5_1": q5_1,
    "Q8_0": q8_0,
    "IQ4_NL": iq4_nl,
    "Q1_0": q1_0,
    "Q2_0": q2_0,
}
