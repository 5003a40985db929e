"""A checkpoint's metadata: a mapping with typed getters whose errors name the file and the key."""

from __future__ import annotations

import enum
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy.typing as npt

from jackfield.errors import CheckpointError, did_you_mean
from jackfield.gguf.limits import (
    DEFAULT_ALIGNMENT,
    MAX_ALIGNMENT,
    MAX_KEY_BYTES,
    MAX_LIST,
    MAX_METADATA_BYTES,
    MIN_ALIGNMENT,
)
from jackfield.gguf.reader import Cursor, quoted
from jackfield.gguf.values import Entry, NumberArray, TextArray, Value, read_entry

__all__ = ["REQUIRED", "Metadata", "Required", "alignment_of", "read_metadata"]

T = TypeVar("T")
ARCHITECTURE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_COMPARED = 1000
"""Most keys that a misspelt one is compared with; each takes some twenty microseconds."""


class Required(enum.Enum):
    """Stands for "no default": the key must be there."""

    REQUIRED = enum.auto()


REQUIRED = Required.REQUIRED


class Metadata(Mapping[str, Value]):
    """Keys and values of a GGUF file.

    Each getter returns the key's value, or the default where the key is absent. All of them raise
    ``CheckpointError`` when the key is required and absent, has another type, or is out of bounds.

    Args:
        entries: Keys with their values and places.
        file: Name of the file, for messages.
    """

    def __init__(self, entries: Mapping[str, Entry], file: str) -> None:
        self._entries = entries
        self.file = file

    def __getitem__(self, key: str) -> Value:
        return self._entries[key].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Metadata of {self.file!r}: {len(self)} keys>"

    @property
    def architecture(self) -> str:
        """The model family, ``general.architecture``."""
        name = self.text("general.architecture")
        if ARCHITECTURE_NAME.fullmatch(name) is None:
            raise self.error(
                "general.architecture", f"is {quoted(name)}; expected a short name of letters and digits"
            )
        return name

    def of_architecture(self, name: str) -> str:
        """Return the key ``name`` under the architecture's prefix: ``llama.block_count``."""
        return f"{self.architecture}.{name}"

    def type_name(self, key: str) -> str:
        """Return how the file declares a key's type: ``UINT32``, ``ARRAY of STRING``."""
        return self._entries[key].type_name

    def error(self, key: str, problem: str) -> CheckpointError:
        """Return an error about a key that is in the file; the caller raises it."""
        place = self._entries[key].offset if key in self._entries else None
        where = "" if place is None else f" (byte {place})"
        return CheckpointError(f"{self.file!r}: key {quoted(key)} {problem}{where}", param=key)

    # ---- one value ----

    def integer(
        self,
        key: str,
        default: T | Required = REQUIRED,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> int | T:
        """Return a whole number between the bounds, which are included."""
        if key not in self:
            return self._default(key, default)
        value = self[key]
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._mistyped(key, "a whole number")
        self._check_bounds(key, value, minimum, maximum)
        return value

    def number(
        self,
        key: str,
        default: T | Required = REQUIRED,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> float | T:
        """Return a finite number between the bounds, which are included."""
        if key not in self:
            return self._default(key, default)
        value = self[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._mistyped(key, "a number")
        if not math.isfinite(value):
            raise self.error(key, f"is {value}; expected a finite number")
        self._check_bounds(key, value, minimum, maximum)
        return float(value)

    def boolean(self, key: str, default: T | Required = REQUIRED) -> bool | T:
        """Return a truth value."""
        if key not in self:
            return self._default(key, default)
        value = self[key]
        if not isinstance(value, bool):
            raise self._mistyped(key, "a BOOL")
        return value

    def text(self, key: str, default: T | Required = REQUIRED) -> str | T:
        """Return a string."""
        if key not in self:
            return self._default(key, default)
        value = self[key]
        if not isinstance(value, str):
            raise self._mistyped(key, "a STRING")
        return value

    # ---- arrays ----

    def integers(self, key: str, default: T | Required = REQUIRED) -> list[int] | T:
        """Return an array of whole numbers."""
        if key not in self:
            return self._default(key, default)
        value = self[key]
        whole: list[int] = self._numbers_of_kind(key, value, "int", "an array of whole numbers").tolist()
        return whole

    def numbers(self, key: str, default: T | Required = REQUIRED) -> list[float] | T:
        """Return an array of finite floating-point numbers."""
        if key not in self:
            return self._default(key, default)
        value = self[key]
        found: list[float] = self._numbers_of_kind(key, value, "float", "an array of floats").tolist()
        if not all(map(math.isfinite, found)):
            raise self.error(key, "holds a number that is not finite")
        return found

    def booleans(self, key: str, default: T | Required = REQUIRED) -> list[bool] | T:
        """Return an array of truth values."""
        if key not in self:
            return self._default(key, default)
        value = self[key]
        truths: list[bool] = self._numbers_of_kind(key, value, "bool", "an array of BOOL").tolist()
        return truths

    def texts(self, key: str, default: T | Required = REQUIRED) -> list[str] | T:
        """Return an array of strings; bytes that are not UTF-8 are lone surrogates (``surrogateescape``)."""
        if key not in self:
            return self._default(key, default)
        value = self[key]
        if not isinstance(value, TextArray):
            raise self._mistyped(key, "an array of STRING")
        self._check_list_length(key, value)
        return list(value)

    def per_layer(
        self,
        key: str,
        num_layers: int,
        default: int | Required = REQUIRED,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> list[int]:
        """Return one whole number for each layer, from an array or from one number for all."""
        if not isinstance(self.get(key), NumberArray):
            return [self.integer(key, default, minimum=minimum, maximum=maximum)] * num_layers
        values = self.integers(key)
        if len(values) != num_layers:
            raise self.error(key, f"has {len(values)} elements; expected one for each of {num_layers} layers")
        for value in values:
            self._check_bounds(key, value, minimum, maximum)
        return values

    # ---- checking ----

    def _default(self, key: str, default: T | Required) -> T:
        if isinstance(default, Required):
            near = did_you_mean(key, itertools.islice(self._entries, MAX_COMPARED))
            raise CheckpointError(f"{self.file!r}: required key {key!r} is missing.{near}", param=key)
        return default

    def _mistyped(self, key: str, expected: str) -> CheckpointError:
        return self.error(key, f"is of type {self.type_name(key)}; expected {expected}")

    def _check_bounds(self, key: str, value: float, minimum: float | None, maximum: float | None) -> None:
        if minimum is not None and value < minimum:
            raise self.error(key, f"is {value}; expected at least {minimum}")
        if maximum is not None and value > maximum:
            raise self.error(key, f"is {value}; expected at most {maximum}")

    def _numbers_of_kind(self, key: str, value: Value, kind: str, expected: str) -> npt.NDArray[Any]:
        if not isinstance(value, NumberArray) or value.kind != kind:
            raise self._mistyped(key, expected)
        self._check_list_length(key, value)
        return value.numbers

    def _check_list_length(self, key: str, value: Sequence[object]) -> None:
        if len(value) > MAX_LIST:
            raise self.error(key, f"has {len(value)} elements; at most {MAX_LIST} are read")


def read_metadata(cursor: Cursor, count: int) -> Metadata:
    """Read ``count`` keys with their values."""
    entries: dict[str, Entry] = {}
    for index in range(count):
        offset = cursor.position
        key = cursor.name(f"the name of key {index}", MAX_KEY_BYTES)
        if key in entries:
            raise cursor.error(f"key {quoted(key)} appears twice", offset)
        entries[key] = read_entry(cursor, key)
        if cursor.position > MAX_METADATA_BYTES:
            raise cursor.error(
                f"metadata up to key {quoted(key)} takes more than {MAX_METADATA_BYTES} bytes", offset
            )
    return Metadata(entries, cursor.file)


def alignment_of(metadata: Metadata) -> int:
    """Return ``general.alignment``: tensor data and each tensor start at a multiple of it."""
    key = "general.alignment"
    alignment = metadata.integer(key, DEFAULT_ALIGNMENT, minimum=MIN_ALIGNMENT, maximum=MAX_ALIGNMENT)
    if key in metadata and metadata.type_name(key) != "UINT32":
        raise metadata.error(key, f"is of type {metadata.type_name(key)}; expected UINT32")
    if alignment & (alignment - 1):
        raise metadata.error(key, f"is {alignment}; expected a power of two")
    return alignment
