"""GGUF files written byte by byte, so that a test can make any one of the bytes wrong.

    RawGguf(keys=[key("general.architecture", STRING, text("llama"))]).build()

Nothing is checked here: that is the reader's part.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "ARRAY",
    "BOOL",
    "FLOAT32",
    "FLOAT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "STRING",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "RawGguf",
    "array",
    "key",
    "number",
    "scalar",
    "tensor",
    "text",
]

UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, INT64, FLOAT64 = range(13)
NUMBER_LAYOUTS = {
    UINT8: "<B",
    INT8: "<b",
    UINT16: "<H",
    INT16: "<h",
    UINT32: "<I",
    INT32: "<i",
    FLOAT32: "<f",
    BOOL: "<B",
    UINT64: "<Q",
    INT64: "<q",
    FLOAT64: "<d",
}


def number(value_type: int, value: float) -> bytes:
    """Return a number in that type's layout."""
    layout = NUMBER_LAYOUTS[value_type]
    return struct.pack(layout, value if value_type in (FLOAT32, FLOAT64) else int(value))


def text(content: str | bytes, *, length: int | None = None) -> bytes:
    """Return a string, its length claimed to be ``length``."""
    data = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(data) if length is None else length) + data


def array(element_type: int, elements: Iterable[bytes], *, count: int | None = None) -> bytes:
    """Return an array, its length claimed to be ``count``."""
    listed = list(elements)
    return struct.pack("<iQ", element_type, len(listed) if count is None else count) + b"".join(listed)


def key(name: str | bytes, value_type: int, value: bytes) -> bytes:
    """Return a metadata record."""
    return text(name) + struct.pack("<i", value_type) + value


def scalar(name: str, value_type: int, value: float) -> bytes:
    """Return a metadata record that holds a number."""
    return key(name, value_type, number(value_type, value))


def tensor(
    name: str | bytes,
    extents: Sequence[int],
    *,
    type_id: int = 0,
    offset: int = 0,
    num_dimensions: int | None = None,
) -> bytes:
    """Return a record of the tensor table; ``extents`` in file order, fastest first."""
    count = len(extents) if num_dimensions is None else num_dimensions
    shape = struct.pack(f"<{len(extents)}Q", *extents)
    return text(name) + struct.pack("<I", count) + shape + struct.pack("<IQ", type_id, offset)


@dataclass
class RawGguf:
    """The parts of a file.

    Attributes:
        keys: Metadata records.
        tensors: Records of the tensor table.
        data: Tensor data, put after the padding.
        alignment: Padding before the data; what the metadata says is its own affair.
        num_keys: Number of keys claimed, what there are when ``None``.
        num_tensors: Number of tensors claimed, what there are when ``None``.
    """

    keys: Sequence[bytes] = ()
    tensors: Sequence[bytes] = ()
    data: bytes = b""
    magic: bytes = b"GGUF"
    version: int = 3
    alignment: int = 32
    num_keys: int | None = None
    num_tensors: int | None = None

    def build(self) -> bytes:
        """Return the file."""
        num_tensors = len(self.tensors) if self.num_tensors is None else self.num_tensors
        num_keys = len(self.keys) if self.num_keys is None else self.num_keys
        header = self.magic + struct.pack("<IQQ", self.version, num_tensors, num_keys)
        table = header + b"".join(self.keys) + b"".join(self.tensors)
        return table + bytes(-len(table) % self.alignment) + self.data
