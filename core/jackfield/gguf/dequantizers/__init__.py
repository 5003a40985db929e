"""What the bytes of each block format mean, in numpy: the oracle of every kernel.

One file per family; each function takes the blocks ``[num_blocks, block_bytes]`` and returns the
elements ``[num_blocks, block_elements]``. Multiplications are done in float32 in the order the formats
were defined with, so results are bit-exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from jackfield.errors import CheckpointError, did_you_mean
from jackfield.gguf.blocks import BLOCK_FORMATS
from jackfield.gguf.dequantizers import fp4, grids, k_quants, plain, small_blocks, ternary

__all__ = ["dequantize"]

CHUNK_ELEMENTS = 1 << 18  # bounds the temporaries: about ten arrays of this many elements
Dequantizer = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]

_DEQUANTIZERS: Mapping[str, Dequantizer] = MappingProxyType(
    plain.DEQUANTIZERS
    | small_blocks.DEQUANTIZERS
    | k_quants.DEQUANTIZERS
    | ternary.DEQUANTIZERS
    | fp4.DEQUANTIZERS
    | grids.DEQUANTIZERS
)


def dequantize(type_name: str, data: npt.NDArray[np.uint8], num_elements: int) -> npt.NDArray[np.float32]:
    """Return the numbers that ``data`` holds, one dimension.

    Raises:
        CheckpointError: The type is unknown, or the bytes are not those of that many elements.
    """
    form = BLOCK_FORMATS.get(type_name)
    if form is None:
        raise CheckpointError(f"no block format {type_name!r}.{did_you_mean(type_name, BLOCK_FORMATS)}")
    if num_elements % form.block_elements or data.size != form.num_bytes(num_elements):
        raise CheckpointError(
            f"{data.size} bytes of {type_name} are not {num_elements} elements in whole blocks"
        )
    blocks = data.reshape(-1, form.block_bytes)
    values = np.empty((len(blocks), form.block_elements), np.float32)
    step = CHUNK_ELEMENTS // form.block_elements
    with np.errstate(over="ignore", invalid="ignore"):  # scales may be anything, infinities included
        for start in range(0, len(blocks), step):
            values[start : start + step] = _DEQUANTIZERS[type_name](blocks[start : start + step])
    return values.reshape(-1)
