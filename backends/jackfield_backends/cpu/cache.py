"""Compiled kernels on disk: object code in a private directory.

An entry's path says all that the code depends on: compiler and processor, the kernel and its constants, the
instruction set, and a hash of its sources. numba's own cache misses changes in imported files, and unpickles what
it finds.

Whatever is wrong with the directory or an entry costs only a compilation: a damaged entry is rebuilt, a directory
that cannot be private and writable is done without. Entries are native code, so a directory that others may write
is never read.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jackfield_backends.cpu import isa
from jackfield_backends.cpu.kernel import KernelSpec
from jackfield_backends.cpu.sources import compiler_digest, source_digest

__all__ = ["ENVIRONMENT", "ObjectCache", "ObjectCode", "default_directory"]

log = logging.getLogger("jackfield.cpu")

ENVIRONMENT = "JACKFIELD_CACHE_DIR"
MAGIC = b"jackfield kernel 2\n"
COMPILERS_KEPT = 4
SOURCES_KEPT = 3
DIGEST_BYTES = 32


@dataclass(frozen=True)
class ObjectCode:
    """A compiled kernel: an object file and the symbol to call."""

    symbol: str
    data: bytes

    def to_bytes(self) -> bytes:
        """Return the entry as stored: magic, digest of the rest, symbol, object file."""
        rest = self.symbol.encode() + b"\n" + self.data
        return MAGIC + hashlib.sha256(rest).digest() + rest

    @staticmethod
    def from_bytes(entry: bytes) -> ObjectCode | None:
        """Return what an entry holds; ``None`` when it is not whole."""
        digest_end = len(MAGIC) + DIGEST_BYTES
        rest = entry[digest_end:]
        if not entry.startswith(MAGIC) or hashlib.sha256(rest).digest() != entry[len(MAGIC) : digest_end]:
            return None
        symbol, _, data = rest.partition(b"\n")
        return ObjectCode(symbol.decode(), data)


class ObjectCache:
    """The entries of one directory; ``directory`` is ``None`` when there is none to be trusted."""

    def __init__(self, directory: Path | None = None) -> None:
        root = default_directory() if directory is None else directory
        self.directory = _private(root)

    def load(self, spec: KernelSpec) -> ObjectCode | None:
        """Return a kernel's code, or ``None`` when it must be compiled."""
        path = self._path(spec)
        if path is None:
            return None
        try:
            code = ObjectCode.from_bytes(path.read_bytes())
        except OSError:
            return None
        if code is None:
            log.warning("kernel cache entry %s is damaged; compiling it again", path)
            path.unlink(missing_ok=True)
        return code

    def save(self, spec: KernelSpec, code: ObjectCode) -> None:
        """Store a kernel's code; a failure is logged and does no harm."""
        path = self._path(spec)
        if path is None:
            return
        try:
            self._make_room(spec)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(code.to_bytes())
            os.replace(file.name, path)
        except OSError as error:
            log.warning("kernel cache %s cannot be written: %s; going on without", self.directory, error)
            self.directory = None

    def _path(self, spec: KernelSpec) -> Path | None:
        if self.directory is None:
            return None
        return self.directory / compiler_digest() / f"{_stem(spec)}-{source_digest(spec.module)}.o"

    def _make_room(self, spec: KernelSpec) -> None:
        """Make the folder of this compiler, and drop what earlier compilers and earlier sources left."""
        assert self.directory is not None
        folder = self.directory / compiler_digest()
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            for old in _by_age(path for path in self.directory.iterdir() if path.is_dir())[COMPILERS_KEPT:]:
                shutil.rmtree(old, ignore_errors=True)
        for entry in _by_age(folder.glob(f"{_stem(spec)}-*.o"))[SOURCES_KEPT:]:
            entry.unlink(missing_ok=True)


def _stem(spec: KernelSpec) -> str:
    return f"{spec.name}-{hashlib.sha256(f'{spec} {isa.target()}'.encode()).hexdigest()[:16]}"


def _by_age(paths: Iterable[Path]) -> list[Path]:
    """Return the paths, youngest first."""
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)


def default_directory() -> Path:
    """Return where compiled kernels go: ``JACKFIELD_CACHE_DIR``, or the user's cache folder."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen) / "kernels"
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "jackfield" / "kernels"


def _private(directory: Path) -> Path | None:
    """Make the directory, readable by its owner only; ``None``, and a warning, if that cannot be."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sys.platform != "win32":
            _check_owner(directory)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
        log.warning("kernel cache %s cannot be used: %s; kernels are compiled anew", directory, error)
        return None
    return directory


def _check_owner(directory: Path) -> None:
    status = directory.lstat()
    if status.st_uid != os.geteuid() or directory.is_symlink():
        raise PermissionError(f"it belongs to user {status.st_uid}, or is a link")
    if status.st_mode & 0o077:
        directory.chmod(0o700)
