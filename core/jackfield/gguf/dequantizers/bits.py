"""Taking small integers out of packed bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["F32", "fields_of", "fields_of_runs", "floats", "halved", "halves", "signs_of", "with_dtype"]

F32 = npt.NDArray[np.float32]


def with_dtype(blocks: npt.NDArray[np.uint8], layout: np.dtype[np.void]) -> npt.NDArray[Any]:
    """Return the blocks as records ``[num_blocks]`` of a layout of the same size."""
    return np.ascontiguousarray(blocks).view(layout)[:, 0]


def floats(numbers: npt.NDArray[Any]) -> F32:
    """Return whole numbers as float32."""
    return numbers.astype(np.float32)


def halved(numbers: F32, times: int) -> F32:
    """Return ``numbers / 2 ** times``."""
    result: F32 = np.ldexp(numbers, -times)
    return result


def halves(column: npt.NDArray[Any]) -> F32:
    """Return a column of float16 scales as float32 ``[num_blocks, 1]``."""
    return column.astype(np.float32)[:, None]


def fields_of(packed: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Split each number into fields of ``width`` bits, lowest first; they follow each other in place.

    ``[..., n]`` becomes ``[..., n * fields]``.
    """
    split = _split(packed, width)
    return split.reshape(*packed.shape[:-1], -1)


def fields_of_runs(packed: npt.NDArray[Any], run: int, width: int) -> npt.NDArray[Any]:
    """Split runs of ``run`` bytes: first the lowest field of all bytes of a run, then the next field.

    ``[b, n]`` becomes ``[b, n * fields]``.
    """
    split = _split(packed.reshape(len(packed), -1, run), width)
    return split.swapaxes(-1, -2).reshape(len(packed), -1)


def signs_of(bits: npt.NDArray[np.uint8]) -> F32:
    """Return -1 for each set bit, else 1, lowest bit first: ``[..., n]`` to ``[..., n, 8]``."""
    return 1 - 2 * floats(_split(bits, 1))


def _split(packed: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    kind = packed.dtype.type
    shifts = np.arange(0, 8 * packed.dtype.itemsize, width, dtype=kind)
    fields: npt.NDArray[Any] = packed[..., None] >> shifts & kind((1 << width) - 1)
    return fields
