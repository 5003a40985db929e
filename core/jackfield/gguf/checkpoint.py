"""Opening a checkpoint: one GGUF file, or all the files of a split one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType

from jackfield.errors import CheckpointError
from jackfield.gguf.limits import MAX_PARTS, MAX_RECORDS, VERSIONS
from jackfield.gguf.metadata import Metadata, alignment_of, read_metadata
from jackfield.gguf.reader import Cursor
from jackfield.gguf.source import Source, open_source
from jackfield.gguf.tensors import Placement, Tensor, check_placements, read_placement

__all__ = ["Checkpoint", "open_checkpoint"]

MAGIC = b"GGUF"
MIN_KEY_BYTES = 8 + 1 + 4 + 1  # name of one letter, type, a one-byte value
MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8  # name of one letter, one extent, type, offset
PART_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


@dataclass(frozen=True)
class _Part:
    """One file, read and checked."""

    source: Source
    metadata: Metadata
    tensors: Mapping[str, Tensor]


class Checkpoint:
    """An open model: its metadata, and its tensors mapped from the file.

    A context manager. Metadata stays usable after closing; tensors do not, but an array that was taken
    from one keeps its part of the file mapped for as long as the array lives.
    """

    def __init__(self, parts: list[_Part]) -> None:
        self._sources = [part.source for part in parts]
        self._tensors: Mapping[str, Tensor] = _merge(parts)
        self.metadata = parts[0].metadata
        """Keys and values, those of the first file when the checkpoint is split."""

    @property
    def path(self) -> Path:
        """The file that was opened."""
        return self._sources[0].path

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, the opened one first."""
        return tuple(source.path for source in self._sources)

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Tensors by name, in the order of the file."""
        return self._tensors

    @property
    def architecture(self) -> str:
        """The model family, ``general.architecture``."""
        return self.metadata.architecture

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(source.size for source in self._sources)

    def is_unchanged(self) -> bool:
        """Tell whether every path still leads to the file that was opened, of the same size and time."""
        return all(source.is_unchanged() for source in self._sources)

    def close(self) -> None:
        """Let go of the files; safe to call twice."""
        self._tensors = {}
        for source in self._sources:
            source.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Checkpoint {self.path.name!r}: {len(self._tensors)} tensors>"


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a GGUF file and check everything but the weights' values.

    Of a split checkpoint name the first file; the others are found beside it.

    Raises:
        CheckpointError: The file is damaged, hostile, or not GGUF; the message names the file, the key or
            tensor, and the byte.
    """
    first = _read_part(Path(path))
    parts = [first]
    try:
        for other in _other_paths(first):
            parts.append(_read_part(other))
        _check_split(parts)
        return Checkpoint(parts)
    except CheckpointError:
        for part in parts:
            part.source.close()
        raise


# ---- one file ----


def _read_part(path: Path) -> _Part:
    source = open_source(path)
    try:
        return _parse(source)
    except CheckpointError:
        source.close()
        raise


def _parse(source: Source) -> _Part:
    cursor = Cursor(source.mapping, source.path.name)
    num_tensors, num_keys = _read_header(cursor)
    metadata = read_metadata(cursor, num_keys)
    alignment = alignment_of(metadata)
    _check_count(cursor, "tensors", num_tensors, MIN_TENSOR_BYTES, cursor.position)
    placements = _read_placements(cursor, num_tensors)
    data_start = cursor.position + -cursor.position % alignment
    check_placements(placements.values(), cursor, data_start, alignment)
    tensors = {
        name: Tensor(name, place.shape, place.form, data_start + place.offset, source)
        for name, place in placements.items()
    }
    return _Part(source, metadata, tensors)


def _read_header(cursor: Cursor) -> tuple[int, int]:
    magic = cursor.take(len(MAGIC), "the magic")
    if magic != MAGIC:
        raise cursor.error(f"begins with {magic!r}; expected {MAGIC!r}: this is not a GGUF file", 0)
    version = cursor.u32("the version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        hint = "; it is big-endian, convert it to little-endian" if swapped else ""
        raise cursor.error(f"has GGUF version {version}; expected 2 or 3{hint}", 4)
    num_tensors, num_keys = cursor.u64("the number of tensors"), cursor.u64("the number of keys")
    _check_count(cursor, "tensors", num_tensors, MIN_TENSOR_BYTES, 8)
    _check_count(cursor, "keys", num_keys, MIN_KEY_BYTES, 16)
    return num_tensors, num_keys


def _check_count(cursor: Cursor, what: str, count: int, min_bytes: int, at: int) -> None:
    if count > min(MAX_RECORDS, cursor.remaining // min_bytes):
        problem = f"claims {count} {what} in {cursor.remaining} bytes; at most {MAX_RECORDS} may be"
        raise cursor.error(problem, at)


def _read_placements(cursor: Cursor, count: int) -> dict[str, Placement]:
    placements: dict[str, Placement] = {}
    for index in range(count):
        placement = read_placement(cursor, index)
        if placement.name in placements:
            raise cursor.error(f"tensor {placement.name!r} appears twice", placement.at)
        placements[placement.name] = placement
    return placements


# ---- split files ----


def _other_paths(first: _Part) -> list[Path]:
    metadata, path = first.metadata, first.source.path
    count = metadata.integer("split.count", 1, minimum=1, maximum=MAX_PARTS)
    if count == 1:
        return []
    name = PART_NAME.fullmatch(path.name)
    if metadata.integer("split.no", minimum=0) != 0 or name is None or int(name["number"]) != 1:
        expected = f"...-00001-of-{count:05d}.gguf"
        raise CheckpointError(
            f"{path.name!r} is not the first of {count} files; open the one named {expected!r}"
        )
    return [
        path.with_name(f"{name['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(2, count + 1)
    ]


def _check_split(parts: list[_Part]) -> None:
    for number, part in enumerate(parts[1:], start=1):
        if part.metadata.integer("split.no") != number:
            raise part.metadata.error("split.no", f"is {part.metadata['split.no']}; expected {number}")
        if part.metadata.integer("split.count") != len(parts):
            raise part.metadata.error("split.count", f"is not {len(parts)} as in the first file")
    found = sum(len(part.tensors) for part in parts)
    promised = parts[0].metadata.integer("split.tensors.count", found)
    if promised != found:
        raise parts[0].metadata.error(
            "split.tensors.count", f"is {promised}, but the files hold {found} tensors"
        )


def _merge(parts: list[_Part]) -> Mapping[str, Tensor]:
    merged: dict[str, Tensor] = {}
    for part in parts:
        for name, tensor in part.tensors.items():
            if name in merged:
                raise CheckpointError(
                    f"tensor {name!r} is in two files, the second is {part.source.path.name!r}"
                )
            merged[name] = tensor
    return MappingProxyType(merged)
