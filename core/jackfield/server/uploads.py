"""Files that clients hand in: kept privately, named by an opaque handle, never served back.

A handle is 128 random bits bound to the API key that made it. Nothing in a request ever becomes a path: a
handle that is not in this process's table does not exist, whatever it looks like.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jackfield.errors import ConfigError, NotFound, RateLimited, RequestError, TooLarge
from jackfield.server.errors import HttpRefusal
from jackfield.server.media_types import MediaType, classify
from jackfield.server.settings import UploadLimits

if sys.platform != "win32":
    import fcntl

__all__ = ["Upload", "UploadStore"]

log = logging.getLogger("jackfield.server")
HANDLE = re.compile(r"upload:[0-9a-f]{32}")
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NAME_CHARACTERS = 255


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One stored file.

    Attributes:
        handle: ``upload:`` and 32 hex digits; what clients pass back.
        file_name: As the client called it, last part only, for showing; never used as a path.
    """

    handle: str
    owner: str
    file_name: str
    media_type: MediaType
    num_bytes: int
    stored_at: Path
    expires_s: float


class UploadStore:
    """The uploads of one server process, inside a folder only this user can read."""

    def __init__(self, limits: UploadLimits, max_file_bytes: int) -> None:
        self._limits = limits
        self._max_file_bytes = max_file_bytes
        self._uploads: dict[str, Upload] = {}
        self._folder: Path | None = None
        self._lock: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._uploads)

    def open(self) -> Path:
        """Make this process's folder, and clear away those of processes that died. Returns the folder."""
        if self._folder is None:
            parent = _private_parent(self._limits.directory)
            with _locked(parent / "lock"):
                _remove_orphans(parent)
                self._folder = Path(tempfile.mkdtemp(prefix="process-", dir=parent))
                self._lock = _hold(self._folder / "lock")
        return self._folder

    def close(self) -> None:
        """Remove everything."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
        self._uploads.clear()
        self._folder = self._lock = None

    async def save(self, owner: str, file_name: str, chunks: AsyncIterator[bytes]) -> Upload:
        """Store a file whole or not at all.

        Raises:
            TooLarge: The file, or all files of this owner, would be over the limit.
            RateLimited: The owner has too many files.
            HttpRefusal: 507, the disk is full.
        """
        self.sweep()
        self._check_room(owner, 0)
        try:
            return await self._save(owner, _shown_name(file_name), chunks)
        except OSError as error:
            if error.errno not in OUT_OF_SPACE:
                raise
            raise HttpRefusal(
                507, "the server has no disk space for uploads", code="insufficient_storage"
            ) from None

    def find(self, handle: object, owner: str) -> Upload:
        """Return an upload of that owner.

        Raises:
            RequestError: That is no handle.
            NotFound: There is no such upload, no longer, or it is somebody else's; all three read the same.
        """
        if not isinstance(handle, str) or not HANDLE.fullmatch(handle):
            raise RequestError("name files by the handle their upload returned: 'upload:' and 32 hex digits")
        upload = self._uploads.get(handle)
        if upload is None or upload.owner != owner or upload.expires_s <= time.monotonic():
            raise NotFound(f"there is no upload {handle!r}; uploads expire, send the file again")
        return upload

    async def read(self, upload: Upload) -> bytes:
        """Return a stored file's bytes."""
        return await asyncio.to_thread(upload.stored_at.read_bytes)

    def forget(self, upload: Upload) -> None:
        """Delete an upload."""
        self._uploads.pop(upload.handle, None)
        upload.stored_at.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what has expired."""
        now_s = time.monotonic()
        for upload in [upload for upload in self._uploads.values() if upload.expires_s <= now_s]:
            self.forget(upload)

    async def _save(self, owner: str, file_name: str, chunks: AsyncIterator[bytes]) -> Upload:
        name = secrets.token_hex(16)
        partial, final = self.open() / f"{name}.part", self.open() / name
        try:
            num_bytes = await self._write(owner, partial, chunks)
            await asyncio.to_thread(os.replace, partial, final)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        upload = Upload(
            handle=f"upload:{name}",
            owner=owner,
            file_name=file_name,
            media_type=classify(file_name),
            num_bytes=num_bytes,
            stored_at=final,
            expires_s=time.monotonic() + self._limits.lifetime_s,
        )
        self._uploads[upload.handle] = upload
        return upload

    async def _write(self, owner: str, path: Path, chunks: AsyncIterator[bytes]) -> int:
        num_bytes = 0
        with _create(path) as file:
            async for chunk in chunks:
                num_bytes += len(chunk)
                self._check_room(owner, num_bytes)
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(_flush_to_disk, file)
        return num_bytes

    def _check_room(self, owner: str, num_bytes: int) -> None:
        mine = [upload for upload in self._uploads.values() if upload.owner == owner]
        if num_bytes > self._max_file_bytes:
            raise TooLarge(f"the file is over the {self._max_file_bytes} bytes an upload may have")
        if sum(upload.num_bytes for upload in mine) + num_bytes > self._limits.owner_bytes:
            raise TooLarge(f"your uploads together would be over {self._limits.owner_bytes} bytes")
        if len(mine) >= self._limits.owner_files:
            raise RateLimited(f"you already have {len(mine)} uploads; old ones expire", retry_after_s=60)
        if shutil.disk_usage(self.open()).free - num_bytes < self._limits.free_disk_bytes:
            raise _disk_full()


def _disk_full() -> HttpRefusal:
    return HttpRefusal(507, "the server has no disk space for uploads", code="insufficient_storage")


def _shown_name(file_name: str) -> str:
    last = re.split(r"[/\\]", file_name)[-1]
    return "".join(character for character in last if character.isprintable())[-NAME_CHARACTERS:]


def _create(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def _flush_to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _private_parent(directory: Path | None) -> Path:
    user = os.getuid() if sys.platform != "win32" else "user"
    parent = directory or Path(tempfile.gettempdir()) / f"jackfield-uploads-{user}"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = parent.lstat()
    if sys.platform != "win32" and (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid()):
        raise ConfigError(f"upload folder {str(parent)!r} is not yours; choose another with --upload-dir")
    if sys.platform != "win32" and found.st_mode & 0o077:
        raise ConfigError(f"upload folder {str(parent)!r} is open to other users; make it mode 700")
    return parent


def _remove_orphans(parent: Path) -> None:
    """Remove the folders whose process no longer holds its lock."""
    for folder in parent.glob("process-*"):
        with suppress(OSError), _hold(folder / "lock"):
            shutil.rmtree(folder, ignore_errors=True)
            log.info("removed the uploads of a process that died")


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with open(path, "wb") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _hold(path: Path) -> IO[bytes]:
    """Return the file, locked; raises ``OSError`` when another process holds it."""
    file = open(path, "wb")  # noqa: SIM115 -- held open for as long as the process lives
    try:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file
