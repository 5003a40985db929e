"""Metadata values: reading one from a cursor, and arrays that are decoded when they are asked for.

Arrays keep a copy of their bytes, so nothing here depends on the mapped file after it was opened.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from jackfield.gguf.limits import MAX_ITEMS, MAX_TEXT_BYTES
from jackfield.gguf.reader import Cursor, quoted

__all__ = ["Entry", "NumberArray", "TextArray", "Value", "read_entry"]

BOOL, TEXT, ARRAY = 7, 8, 9
VALUE_TYPES = {
    0: "UINT8",
    1: "INT8",
    2: "UINT16",
    3: "INT16",
    4: "UINT32",
    5: "INT32",
    6: "FLOAT32",
    BOOL: "BOOL",
    TEXT: "STRING",
    ARRAY: "ARRAY",
    10: "UINT64",
    11: "INT64",
    12: "FLOAT64",
}
_NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    BOOL: "<u1",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    BOOL: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_MIN_TEXT_BYTES = 8  # an empty string is its length
_SEPARATOR = "\udcff"  # what the byte 0xFF is decoded to


class TextArray(Sequence[str]):
    """An array of strings; bytes that are not UTF-8 become lone surrogates, one each."""

    def __init__(self, raw: bytes, ends: array[int]) -> None:
        self._raw = raw
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.bytes_at(index).decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        together = self._joined().decode("utf-8", "surrogateescape").split(_SEPARATOR)[1:]
        if len(together) == len(self):
            return iter(together)
        return map(self.__getitem__, range(len(self)))  # a string has the separator's byte

    def _joined(self) -> bytes:
        """Return all strings in one, a byte that UTF-8 does not have in front of each instead of its length."""
        raw = np.frombuffer(self._raw, np.uint8).copy()
        stays = np.ones(len(raw), np.bool_)
        ends = np.frombuffer(self._ends, np.uint64).astype(np.int64)
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) if len(ends) else ends
        for i in range(_MIN_TEXT_BYTES - 1):
            stays[starts + i] = False
        raw[starts + _MIN_TEXT_BYTES - 1] = 0xFF
        return raw[stays].tobytes()

    def bytes_at(self, index: int) -> bytes:
        """Return one string's bytes as they are in the file."""
        position = range(len(self._ends))[index]
        start = self._ends[position - 1] if position else 0
        return self._raw[start + _MIN_TEXT_BYTES : self._ends[position]]


class NumberArray(Sequence["int | float | bool"]):
    """An array of numbers of one type."""

    def __init__(self, raw: bytes, element_type: int) -> None:
        numbers: npt.NDArray[np.generic] = np.frombuffer(raw, np.dtype(_NUMBERS[element_type]))
        self._numbers = numbers.view(np.bool_) if element_type == BOOL else numbers

    @property
    def kind(self) -> str:
        """``bool``, ``int`` or ``float``."""
        return {"b": "bool", "f": "float"}.get(self._numbers.dtype.kind, "int")

    @property
    def numbers(self) -> npt.NDArray[np.generic]:
        """The numbers as a read-only array."""
        return self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> int | float | bool: ...
    @overload
    def __getitem__(self, index: slice) -> list[int | float | bool]: ...
    def __getitem__(self, index: int | slice) -> int | float | bool | list[int | float | bool]:
        chosen: int | float | bool | list[int | float | bool] = self._numbers[index].tolist()
        return chosen


Value = bool | int | float | str | TextArray | NumberArray


@dataclass(frozen=True, slots=True)
class Entry:
    """A value with its place in the file, for messages."""

    value: Value
    type_name: str
    offset: int


def read_entry(cursor: Cursor, key: str) -> Entry:
    """Read the type and value that follow a key."""
    offset = cursor.position
    type_id = cursor.i32(f"the type of key {quoted(key)}")
    if type_id == ARRAY:
        return _read_array(cursor, key, offset)
    if type_id == TEXT:
        raw = cursor.text_bytes(f"key {quoted(key)}", MAX_TEXT_BYTES)
        return Entry(raw.decode("utf-8", "surrogateescape"), "STRING", offset)
    layout = _SCALARS.get(type_id)
    if layout is None:
        raise cursor.error(f"key {quoted(key)} has value type {type_id}; expected 0 to 12", offset)
    value = cursor.unpack(layout, f"key {quoted(key)}")
    if type_id == BOOL:
        return Entry(_as_bool(cursor, value, key, offset), "BOOL", offset)
    return Entry(value, VALUE_TYPES[type_id], offset)


def _as_bool(cursor: Cursor, value: int | float, key: str, offset: int) -> bool:
    if value not in (0, 1):
        raise cursor.error(f"key {quoted(key)} is a BOOL of value {value}; expected 0 or 1", offset)
    return bool(value)


def _read_array(cursor: Cursor, key: str, offset: int) -> Entry:
    element_type = cursor.i32(f"the element type of key {quoted(key)}")
    if element_type == ARRAY:
        raise cursor.error(f"key {quoted(key)} is an array of arrays; nested arrays are not read", offset)
    if element_type != TEXT and element_type not in _NUMBERS:
        raise cursor.error(f"key {quoted(key)} is an array of type {element_type}; expected 0 to 12", offset)
    count = cursor.u64(f"the length of key {quoted(key)}")
    type_name = f"ARRAY of {VALUE_TYPES[element_type]}"
    width = _MIN_TEXT_BYTES if element_type == TEXT else np.dtype(_NUMBERS[element_type]).itemsize
    if count > min(MAX_ITEMS, cursor.remaining // width):
        claim = f"key {quoted(key)} claims {count} elements of at least {width} bytes"
        raise cursor.error(
            f"{claim}; {cursor.remaining} bytes are left and at most {MAX_ITEMS} may be", offset
        )
    if element_type == TEXT:
        start = cursor.position
        ends = cursor.skip_texts(count, f"key {quoted(key)}")
        return Entry(TextArray(cursor.copy(start), ends), type_name, offset)
    raw = cursor.take(count * width, f"key {quoted(key)}")
    if element_type == BOOL and raw.strip(b"\0\1"):
        raise cursor.error(f"key {quoted(key)} is an array of BOOL with a value above 1", offset)
    return Entry(NumberArray(raw, element_type), type_name, offset)
