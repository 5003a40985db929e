"""Memory whose addresses kernels know: one block, 64-byte aligned, carved once."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from jackfield.errors import OutOfMemory

__all__ = ["ALIGNMENT", "Arena", "aligned"]

ALIGNMENT = 64  # a cache line, and the widest vector
Scalar = TypeVar("Scalar", bound=np.generic)


def aligned(num_bytes: int) -> int:
    """Round up to whole cache lines."""
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT


def aligned_bytes(num_bytes: int, what: str) -> npt.NDArray[np.uint8]:
    """Return zeroed bytes that begin at a cache line; reading one line past the end is safe.

    Raises:
        OutOfMemory: The system refuses; the message says how much was wanted and what for.
    """
    try:
        block = np.zeros(
            num_bytes + 2 * ALIGNMENT, np.uint8
        )  # one for the start, one to be read past the end
    except MemoryError as error:
        raise OutOfMemory(
            f"{what} needs {num_bytes / 2**20:.0f} MiB, which the system refused; use a smaller context, "
            f"fewer pages or a smaller model",
            numbers={"bytes": num_bytes},
        ) from error
    offset = -block.ctypes.data % ALIGNMENT
    return block[offset : offset + num_bytes]


class Arena:
    """Keeps arrays alive for as long as native code holds their addresses."""

    def __init__(self) -> None:
        self._blocks: list[npt.NDArray[np.generic]] = []
        self.num_bytes = 0

    def take(self, num_bytes: int, what: str) -> int:
        """Return the address of zeroed, aligned bytes."""
        return self.array(num_bytes, np.uint8, what).ctypes.data

    def array(self, length: int, kind: type[Scalar], what: str) -> npt.NDArray[Scalar]:
        """Return a zeroed, aligned array of one dimension."""
        block = aligned_bytes(aligned(length * np.dtype(kind).itemsize), what)
        self._blocks.append(block)
        self.num_bytes += block.nbytes
        return block.view(kind)[:length]

    def keep(self, array: npt.NDArray[Scalar]) -> int:
        """Return the address of an aligned copy of ``array``."""
        copy = self.array(array.size, array.dtype.type, "a constant")
        copy[:] = array.ravel()
        return copy.ctypes.data
