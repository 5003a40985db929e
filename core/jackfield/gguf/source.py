"""A model file, opened with care: regular files only, mapped read-only, never waited for."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from jackfield.errors import CheckpointError

__all__ = ["FileIdentity", "Source", "open_source"]

# O_NONBLOCK: between the check and the opening a FIFO could take the file's place, and opening one waits
OPEN_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True)
class FileIdentity:
    """What tells whether a path still leads to the same bytes."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """Take the identity from a ``stat`` answer."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Source:
    """A mapped file. The mapping lives until the last view of it is gone."""

    path: Path
    mapping: mmap.mmap
    identity: FileIdentity

    @property
    def size(self) -> int:
        """Bytes mapped."""
        return self.identity.size

    def close(self) -> None:
        """Unmap the file now, or when the last array over it is gone."""
        with contextlib.suppress(BufferError):  # arrays are still in use
            self.mapping.close()

    def is_unchanged(self) -> bool:
        """Tell whether the path still leads to the file that was mapped, of the same size and time."""
        try:
            return FileIdentity.of(os.stat(self.path)) == self.identity
        except (OSError, ValueError):
            return False


def open_source(path: Path) -> Source:
    """Map a regular file.

    Raises:
        CheckpointError: There is no such file, it is not a regular file, it cannot be read or is too short.
    """
    try:
        _require_regular(path, os.stat(path))  # before opening: opening a device may act on it
        descriptor = os.open(path, OPEN_FLAGS)
        try:
            return _map(path, descriptor)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CheckpointError(
            f"cannot open {str(path)!r}: {reason}; expected a readable GGUF file"
        ) from error


def _map(path: Path, descriptor: int) -> Source:
    status = os.fstat(descriptor)
    _require_regular(path, status)
    if status.st_size == 0:
        raise CheckpointError(f"{path.name!r} is empty; expected a GGUF file")
    mapping = mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ)
    return Source(path, mapping, FileIdentity.of(status))


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise CheckpointError(f"{str(path)!r} is {kind}; expected a GGUF file")
