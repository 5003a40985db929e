"""The tensor table: names, shapes and places, checked against each other and the file before any is used."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from jackfield.errors import CheckpointError
from jackfield.gguf.blocks import REFUSED_TYPES, BlockFormat, format_of_type
from jackfield.gguf.dequantizers import dequantize
from jackfield.gguf.limits import MAX_DIMENSIONS, MAX_ELEMENTS, MAX_NAME_BYTES
from jackfield.gguf.reader import Cursor
from jackfield.gguf.source import Source

__all__ = ["Placement", "Tensor", "check_placements", "read_placement"]


@dataclass(frozen=True, slots=True)
class Placement:
    """A row of the tensor table.

    Attributes:
        shape: Extents in numpy order, slowest first.
        offset: Start relative to the tensor data.
        at: Byte of the table's row, for messages.
    """

    name: str
    shape: tuple[int, ...]
    form: BlockFormat
    offset: int
    at: int

    @property
    def num_bytes(self) -> int:
        """Bytes of data."""
        return self.form.num_bytes(math.prod(self.shape))

    @property
    def end(self) -> int:
        """First byte after the data, relative to the tensor data."""
        return self.offset + self.num_bytes


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of an open checkpoint; its bytes stay in the mapped file until they are read.

    Attributes:
        name: The name in the file.
        shape: Extents in numpy order, slowest first.
        form: How the numbers are stored.
        file_offset: First byte in the file.
        source: The file.
    """

    name: str
    shape: tuple[int, ...]
    form: BlockFormat
    file_offset: int
    source: Source

    @property
    def type_name(self) -> str:
        """Block format, spelt as in GGUF."""
        return self.form.name

    @property
    def num_elements(self) -> int:
        """Numbers in the tensor."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes in the file."""
        return self.form.num_bytes(self.num_elements)

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """The raw bytes, one dimension, read-only, mapped from the file."""
        if self.source.mapping.closed:
            raise CheckpointError(f"tensor {self.name!r} was read after {self.source.path.name!r} was closed")
        return np.frombuffer(self.source.mapping, np.uint8, self.num_bytes, self.file_offset)

    def to_float32(self) -> npt.NDArray[np.float32]:
        """Dequantise to an array of ``shape``; allocates."""
        return dequantize(self.type_name, self.data, self.num_elements).reshape(self.shape)


def read_placement(cursor: Cursor, index: int) -> Placement:
    """Read one row of the tensor table."""
    at = cursor.position
    name = cursor.name(f"the name of tensor {index}", MAX_NAME_BYTES)
    shape = _read_shape(cursor, name, at)
    type_id = cursor.u32(f"the type of tensor {name!r}")
    form = _format(cursor, name, type_id, at)
    if shape[-1] % form.block_elements:
        problem = f"rows of {shape[-1]} elements; {form.name} needs a multiple of {form.block_elements}"
        raise cursor.error(f"tensor {name!r} has {problem}", at)
    return Placement(name, shape, form, cursor.u64(f"the offset of tensor {name!r}"), at)


def check_placements(
    placements: Iterable[Placement], cursor: Cursor, data_start: int, alignment: int
) -> None:
    """Check that every tensor lies aligned within the file and none overlaps another.

    Raises:
        CheckpointError: With the tensors' names.
    """
    available = max(cursor.size - data_start, 0)
    before: Placement | None = None
    for tensor in sorted(placements, key=attrgetter("offset")):
        if tensor.offset % alignment:
            problem = f"starts at offset {tensor.offset}, not a multiple of {alignment}"
            raise cursor.error(f"tensor {tensor.name!r} {problem}", tensor.at)
        if tensor.end > available:
            problem = f"ends at offset {tensor.end} of {available} bytes of data; the file is truncated"
            raise cursor.error(f"tensor {tensor.name!r} {problem}", tensor.at)
        if before is not None and tensor.offset < before.end:
            raise cursor.error(f"tensors {before.name!r} and {tensor.name!r} overlap", tensor.at)
        before = tensor


def _read_shape(cursor: Cursor, name: str, at: int) -> tuple[int, ...]:
    num_dimensions = cursor.u32(f"the dimensions of tensor {name!r}")
    if not 1 <= num_dimensions <= MAX_DIMENSIONS:
        raise cursor.error(f"tensor {name!r} has {num_dimensions} dimensions; expected 1 to 4", at)
    extents = [cursor.u64(f"an extent of tensor {name!r}") for _ in range(num_dimensions)]
    if min(extents) < 1 or math.prod(extents) > MAX_ELEMENTS:
        raise cursor.error(f"tensor {name!r} has extents {extents}; expected 1 to 2^40 elements", at)
    return tuple(reversed(extents))


def _format(cursor: Cursor, name: str, type_id: int, at: int) -> BlockFormat:
    form = format_of_type(type_id)
    if form is None:
        reason = REFUSED_TYPES.get(type_id, "unknown to this version")
        raise cursor.error(f"tensor {name!r} has type {type_id}, {reason}", at)
    return form
