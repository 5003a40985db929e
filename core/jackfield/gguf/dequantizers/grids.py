"""Formats that store indices into a fixed grid of 4- or 8-element patterns, in super-blocks of 256.

The grids are constants of the formats; they are taken from the ``gguf`` package when first needed.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield.gguf.dequantizers.bits import F32, fields_of, floats, halved, halves, signs_of, with_dtype

__all__ = ["DEQUANTIZERS", "grid_of"]

Bytes = npt.NDArray[np.uint8]

IQ2_XXS = np.dtype([("d", "<f2"), ("groups", [("qs", "u1", 4), ("signs", "<u4")], 8)])
IQ2_XS = np.dtype([("d", "<f2"), ("qs", "<u2", 32), ("scales", "u1", 8)])
IQ2_S = np.dtype([("d", "<f2"), ("qs", "u1", 32), ("signs", "u1", 32), ("qh", "u1", 8), ("scales", "u1", 8)])
IQ3_XXS = np.dtype([("d", "<f2"), ("qs", "u1", 64), ("signs", "<u4", 8)])
IQ3_S = np.dtype([("d", "<f2"), ("qs", "u1", 64), ("qh", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4)])
IQ1_S = np.dtype([("d", "<f2"), ("qs", "u1", 32), ("qh", "<u2", 8)])
IQ1_M = np.dtype([("qs", "u1", 32), ("qh", "u1", 16), ("scales", "<u2", 4)])


def iq2_xxs(blocks: Bytes) -> F32:
    """Groups of 32: four indices, four seven-bit sign masks and a four-bit scale."""
    block = with_dtype(blocks, IQ2_XXS)
    words = block["groups"]["signs"]
    scales = halved(halves(block["d"]) * (2 * floats(words >> 28) + 1), 3)
    patterns = grid_of("IQ2_XXS")[block["groups"]["qs"]]
    return _signed(scales, patterns, _sign_masks(words))


def iq2_xs(blocks: Bytes) -> F32:
    """Each 8 elements: a nine-bit index and a seven-bit sign mask; four-bit scales for each 16."""
    block = with_dtype(blocks, IQ2_XS)
    words = block["qs"]
    patterns = grid_of("IQ2_XS")[words & 511]
    return _signed(_scales_of_sixteen(block), patterns, _even_parity((words >> 9).astype(np.uint8)))


def iq2_s(blocks: Bytes) -> F32:
    """Each 8 elements: a ten-bit index and an eight-bit sign mask; four-bit scales for each 16."""
    block = with_dtype(blocks, IQ2_S)
    high = fields_of(block["qh"], 2).astype(np.uint16)
    patterns = grid_of("IQ2_S")[block["qs"] | high << 8]
    return _signed(_scales_of_sixteen(block), patterns, block["signs"])


def iq3_xxs(blocks: Bytes) -> F32:
    """Each 4 elements an index; for each 32, four seven-bit sign masks and a four-bit scale."""
    block = with_dtype(blocks, IQ3_XXS)
    words = block["signs"]
    scales = halved(halves(block["d"]) * (2 * floats(words >> 28) + 1), 2)
    return _signed(scales, grid_of("IQ3_XXS")[block["qs"]], _sign_masks(words))


def iq3_s(blocks: Bytes) -> F32:
    """Each 4 elements a nine-bit index, each 8 a sign mask; four-bit scales for each 32."""
    block = with_dtype(blocks, IQ3_S)
    high = fields_of(block["qh"], 1).astype(np.uint16)
    patterns = grid_of("IQ3_S")[block["qs"] | high << 8]
    scales = halves(block["d"]) * (2 * floats(fields_of(block["scales"], 4)) + 1)
    return _signed(scales, patterns, block["signs"])


def iq1_s(blocks: Bytes) -> F32:
    """Each 8 elements an eleven-bit index; for each 32, a three-bit scale and the sign of a shift."""
    block = with_dtype(blocks, IQ1_S)
    words = block["qh"]
    high = (words[:, :, None] >> np.array([0, 3, 6, 9], np.uint16) & 7).reshape(-1, 32)
    scales = halves(block["d"]) * (2 * floats(words >> 12 & 7) + 1)
    shift = _shift_of(words >> 15).repeat(4, axis=1)
    return _shifted(scales, grid_of("IQ1_S")[block["qs"] | high << 8], shift)


def iq1_m(blocks: Bytes) -> F32:
    """As IQ1_S, with a shift for each 8 elements and a scale for each 16; ``d`` is spread over four words."""
    block = with_dtype(blocks, IQ1_M)
    words = block["scales"]
    nibbles = fields_of(block["qh"], 4).astype(np.uint16)
    spread = words >> 12 << np.array([0, 4, 8, 12], np.uint16)
    d = np.bitwise_or.reduce(spread, axis=1).astype("<u2").view("<f2")
    small = (words[:, :, None] >> np.array([0, 3, 6, 9], np.uint16) & 7).reshape(-1, 16)
    scales = halves(d) * (2 * floats(small) + 1)
    shift = _shift_of(nibbles >> 3)
    return _shifted(scales, grid_of("IQ1_S")[block["qs"] | (nibbles & 7) << 8], shift)


@functools.cache
def grid_of(type_name: str) -> F32:
    """Return a format's patterns ``[num_patterns, 4 or 8]``."""
    from gguf import quants  # only these formats need the package, which is slow to import

    traits: Any = getattr(quants, type_name)
    traits.init_grid()
    return np.array(traits.grid, dtype=np.float32).reshape(traits.grid_shape)


def _scales_of_sixteen(block: npt.NDArray[Any]) -> F32:
    small = floats(fields_of(block["scales"], 4))
    return halved(halves(block["d"]) * (2 * small + 1), 3)


def _sign_masks(words: npt.NDArray[np.uint32]) -> Bytes:
    """Return four masks out of the low 28 bits of each word: ``[b, n]`` to ``[b, n * 4]``."""
    masks = words[:, :, None] >> np.array([0, 7, 14, 21], np.uint32) & 127
    return _even_parity(masks.reshape(len(words), -1).astype(np.uint8))


def _even_parity(masks: Bytes) -> Bytes:
    """Add an eighth bit that makes the number of set bits even."""
    parity = np.bitwise_count(masks) & np.uint8(1)
    return masks | parity << np.uint8(7)


def _signed(scales: F32, patterns: F32, masks: Bytes) -> F32:
    """Return ``scale * pattern * sign``; each scale covers its share of the 256 elements."""
    num_blocks, num_scales = scales.shape
    values = scales[:, :, None] * patterns.reshape(num_blocks, num_scales, -1)
    return values.reshape(num_blocks, -1) * signs_of(masks).reshape(num_blocks, -1)


def _shift_of(bits: npt.NDArray[Any]) -> F32:
    """Return -1/8 for each 1 and 1/8 for each 0."""
    return halved(1 - 2 * floats(bits), 3)


def _shifted(scales: F32, patterns: F32, shift: F32) -> F32:
    """Return ``scale * (pattern + shift)``; each scale covers its share of the 256 elements."""
    num_blocks, num_scales = scales.shape
    values: F32 = np.add(patterns, shift[:, :, None]).reshape(num_blocks, num_scales, -1)
    return (scales[:, :, None] * values).reshape(num_blocks, -1)


DEQUANTIZERS = {
    "IQ2_XXS": iq2_xxs,
    "IQ2_XS": iq2_xs,
    "IQ2_S": iq2_s,
    "IQ3_XXS": iq3_xxs,
    "IQ3_S": iq3_s,
    "IQ1_S": iq1_s,
    "IQ1_M": iq1_m,
}
