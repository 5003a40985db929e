"""Random tensors in any block format: quantised where the gguf package can, else valid random blocks."""

from __future__ import annotations

import functools
from types import MappingProxyType

import gguf
import numpy as np
import numpy.typing as npt
from gguf import quants

from jackfield.gguf import BLOCK_FORMATS, dequantize

__all__ = ["encode", "random_blocks"]

F32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SCALE_OFFSETS = MappingProxyType(
    {"Q2_K": 80, "Q3_K": 108, "Q4_K": 0, "Q5_K": 0, "Q6_K": 208, "IQ4_NL": 0, "IQ4_XS": 0, "IQ2_XXS": 0}
    | {"IQ2_XS": 0, "IQ2_S": 0, "IQ3_XXS": 0, "IQ3_S": 0, "IQ1_S": 0, "Q1_0": 0, "Q2_0": 0}
    | {"Q4_0": 0, "Q4_1": 0, "Q5_0": 0, "Q5_1": 0, "Q8_0": 0, "TQ1_0": 52, "TQ2_0": 64}
)
"""Byte of the float16 scale in a block."""
MINIMUM_OFFSETS = MappingProxyType({"Q2_K": 82, "Q4_K": 2, "Q5_K": 2, "Q4_1": 2, "Q5_1": 2})
"""Byte of the second float16, which all elements are moved by."""
SAMPLE_BLOCKS = 64
FP4_DEVIATION = 2.93  # of a four-bit float with random bits


def encode(values: F32, type_name: str, generator: np.random.Generator) -> Bytes:
    """Return ``values`` in a block format, one dimension.

    Formats that the gguf package cannot quantise get random blocks of about the same spread instead: the
    numbers differ, but they are as good as any other random weights.
    """
    if type_name in ("F32", "F16", "BF16") or type_name in _quantisable():
        encoded: Bytes = quants.quantize(values, gguf.GGMLQuantizationType[type_name])
        return np.ascontiguousarray(encoded).reshape(-1).view(np.uint8)
    return random_blocks(type_name, values.size, float(values.std()), generator)


def random_blocks(type_name: str, num_elements: int, spread: float, generator: np.random.Generator) -> Bytes:
    """Return valid blocks whose elements have a mean near 0 and that standard deviation, one dimension."""
    form = BLOCK_FORMATS[type_name]
    blocks = generator.integers(0, 256, (num_elements // form.block_elements, form.block_bytes), np.uint8)
    if type_name == "NVFP4":
        _set_small_floats(blocks, spread)
    elif type_name == "MXFP4":
        blocks[:, 0] = 127 + round(np.log2(spread / FP4_DEVIATION))
    else:
        scale, minimum = _unit_scales(type_name)
        factors = (
            spread * generator.uniform(0.7, 1.3, len(blocks)) * generator.choice([-1.0, 1.0], len(blocks))
        )
        _set_scales(type_name, blocks, scale * factors, minimum * factors)
    return blocks.reshape(-1)


@functools.cache
def _quantisable() -> frozenset[str]:
    """Return the names of the formats that the gguf package can write."""
    row = np.zeros(256, np.float32)
    names: set[str] = set()
    for name in BLOCK_FORMATS.keys() & gguf.GGMLQuantizationType.__members__.keys():
        try:
            quants.quantize(row, gguf.GGMLQuantizationType[name])
        except NotImplementedError:
            continue
        names.add(name)
    return frozenset(names)


@functools.cache
def _unit_scales(type_name: str) -> tuple[float, float]:
    """Return the scale and the minimum that give random blocks a mean of 0 and a deviation of 1."""
    form = BLOCK_FORMATS[type_name]
    generator = np.random.default_rng(form.type_id)
    blocks = generator.integers(0, 256, (SAMPLE_BLOCKS, form.block_bytes), np.uint8)
    scaled = _elements(type_name, blocks, 1.0, 0.0)
    if type_name not in MINIMUM_OFFSETS:
        return 1 / float(scaled.std()), 0.0
    moved = _elements(type_name, blocks, 0.0, 1.0)
    balance = -float(scaled.mean() / moved.mean())
    deviation = float((scaled + balance * moved).std())
    return 1 / deviation, balance / deviation


def _elements(type_name: str, blocks: Bytes, scale: float, minimum: float) -> F32:
    filled = blocks.copy()
    ones = np.ones(len(blocks))
    _set_scales(type_name, filled, scale * ones, minimum * ones)
    return dequantize(
        type_name, filled.reshape(-1), filled.shape[0] * BLOCK_FORMATS[type_name].block_elements
    )


def _set_scales(
    type_name: str, blocks: Bytes, scale: npt.NDArray[np.float64], minimum: npt.NDArray[np.float64]
) -> None:
    if type_name == "IQ1_M":
        _set_spread_scale(blocks, scale)
        return
    _set_half(blocks, SCALE_OFFSETS[type_name], scale)
    if type_name in MINIMUM_OFFSETS:
        _set_half(blocks, MINIMUM_OFFSETS[type_name], minimum)


def _set_half(blocks: Bytes, offset: int, numbers: npt.NDArray[np.float64]) -> None:
    blocks[:, offset : offset + 2] = numbers.astype("<f2").view(np.uint8).reshape(-1, 2)


def _set_spread_scale(blocks: Bytes, scale: npt.NDArray[np.float64]) -> None:
    """Write a float16 into the top four bits of IQ1_M's four scale words, low bits first."""
    bits = scale.astype("<f2").view("<u2")
    for word in range(4):
        high_byte = 48 + 2 * word + 1
        nibble = (bits >> 4 * word & 15).astype(np.uint8)
        blocks[:, high_byte] = blocks[:, high_byte] & 15 | nibble << 4


def _set_small_floats(blocks: Bytes, spread: float) -> None:
    """Give NVFP4's four scales the exponent that fits the spread; their mantissas stay random."""
    exponent = 7 + round(np.log2(spread / (FP4_DEVIATION * 1.44)))  # 1.44: the mean of 1 to 1.875
    blocks[:, :4] = blocks[:, :4] & 7 | np.uint8(np.clip(exponent, 0, 14)) << 3
