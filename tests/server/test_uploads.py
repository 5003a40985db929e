"""Uploads are private, bounded, whole or not there, and known only by their handle."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import jackfield.server.uploads as uploads_module
from jackfield.errors import ConfigError, NotFound, RateLimited, RequestError, TooLarge
from jackfield.server import HttpRefusal, UploadLimits
from jackfield.server.app import RailApp
from jackfield.server.media_types import classify
from jackfield.server.uploads import Upload, UploadStore


def store_at(folder: Path, *, max_file_bytes: int = 1000, **limits: Any) -> UploadStore:
    limits.setdefault("free_disk_bytes", 0)
    return UploadStore(UploadLimits(directory=folder / "up", **limits), max_file_bytes)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def save(store: UploadStore, *parts: bytes, owner: str = "ada", name: str = "a.txt") -> Upload:
    return asyncio.run(store.save(owner, name, pieces(*parts)))


def files_of(store: UploadStore) -> list[str]:
    return sorted(entry.name for entry in store.open().iterdir() if entry.name != "lock")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = store_at(tmp_path, owner_bytes=3000, owner_files=5)
    yield made
    made.close()


def test_what_was_stored_comes_back(store: UploadStore) -> None:
    upload = save(store, b"abc", b"", b"def", name="Café notes.md")
    found = store.find(upload.handle, "ada")
    assert asyncio.run(store.read(found)) == b"abcdef"
    assert (found.file_name, found.media_type, found.num_bytes) == ("Café notes.md", "text", 6)
    assert upload.stored_at.stat().st_mode & 0o777 == 0o600


def test_handles_are_random_and_say_nothing(store: UploadStore) -> None:
    handles = {save(store, b"x", owner=str(index)).handle for index in range(50)}
    assert len(handles) == 50
    assert all(re.fullmatch(r"upload:[0-9a-f]{32}", handle) for handle in handles)


@pytest.mark.parametrize(
    "handle",
    [
        "/etc/passwd",
        "/dev/zero",
        "../../etc/passwd",
        "upload:../../etc/passwd",
        "upload:" + "0" * 31,
        "upload:" + "0" * 33,
        "upload:" + "G" * 32,
        "UPLOAD:" + "0" * 32,
        "upload:" + "0" * 32 + "\n",
        "upload:" + "０" * 32,
        "",
        "file:///etc/passwd",
        "upload:%2e%2e",
        None,
        5,
        ["upload:" + "0" * 32],
    ],
)
def test_what_is_no_handle_is_refused_without_a_look_at_the_disk(
    store: UploadStore, handle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open()
    for name in ("open", "stat", "lstat"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("the disk was touched"))
    with pytest.raises(RequestError, match="name files by the handle"):
        store.find(handle, "ada")


def test_the_stored_path_of_a_real_upload_is_no_handle(store: UploadStore) -> None:
    upload = save(store, b"x")
    for text in (str(upload.stored_at), upload.stored_at.name, f"upload:{upload.stored_at}"):
        with pytest.raises(RequestError):
            store.find(text, "ada")


def test_absent_foreign_deleted_and_expired_read_the_same(tmp_path: Path) -> None:
    store = store_at(tmp_path, lifetime_s=0.05)
    foreign, deleted, expired = save(store, b"x", owner="eve"), save(store, b"x"), save(store, b"x")
    store.forget(deleted)
    time.sleep(0.06)
    handles = ["upload:" + "0" * 32, foreign.handle, deleted.handle, expired.handle]
    texts = set()
    for handle in handles:
        with pytest.raises(NotFound) as caught:
            store.find(handle, "ada")
        texts.add(caught.value.message.replace(handle, "H"))
    assert len(texts) == 1
    store.close()


def test_expired_files_leave_the_disk(tmp_path: Path) -> None:
    store = store_at(tmp_path, lifetime_s=0.05)
    save(store, b"x")
    assert len(files_of(store)) == 1
    time.sleep(0.06)
    store.sweep()
    assert (files_of(store), len(store)) == ([], 0)
    store.close()


def test_limits_count_bytes_and_files_of_each_owner(store: UploadStore) -> None:
    assert save(store, b"x" * 1000).num_bytes == 1000
    with pytest.raises(TooLarge, match="over the 1000 bytes an upload may have"):
        save(store, b"x" * 600, b"x" * 401)
    save(store, b"x" * 1000)
    save(store, b"x" * 1000)
    with pytest.raises(TooLarge, match="together would be over 3000 bytes"):
        save(store, b"x")
    for _ in range(5):
        save(store, b"", owner="bob")
    with pytest.raises(RateLimited, match="already have 5 uploads"):
        save(store, b"", owner="bob")
    assert len(files_of(store)) == len(store) == 8


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_507_and_leaves_no_piece(
    store: UploadStore, monkeypatch: pytest.MonkeyPatch, failing: str, number: int
) -> None:
    def fail(*_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        if failing == "write":
            patched.setattr(uploads_module, "_create", lambda path: _FullFile(path, fail))
        else:
            patched.setattr(os, failing, fail)
        with pytest.raises(HttpRefusal, match="no disk space") as caught:
            save(store, b"abc", b"def")
    assert caught.value.status == 507
    assert (files_of(store), len(store)) == ([], 0)
    assert save(store, b"abc").num_bytes == 3, "it recovers when there is space again"


class _FullFile:
    """A file whose writes fail."""

    def __init__(self, path: Path, fail: Any) -> None:
        path.touch()
        self.write = fail

    def __enter__(self) -> _FullFile:
        return self

    def __exit__(self, *_: object) -> None:
        return


def test_a_nearly_full_disk_is_left_alone(tmp_path: Path) -> None:
    store = store_at(tmp_path, free_disk_bytes=2**62)
    with pytest.raises(HttpRefusal, match="no disk space"):
        save(store, b"x")
    store.close()


def test_a_client_that_breaks_off_leaves_no_piece(store: UploadStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(store.save("ada", "a.txt", broken()))
    assert files_of(store) == []


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.png", "a.png"),
        ("a\r\nX-Evil: 1.png", "aX-Evil: 1.png"),
        ("a\u2028b\x1b[31m.txt", "ab[31m.txt"),
        ("", ""),
        ("x" * 1000 + ".png", "x" * 251 + ".png"),
    ],
)
def test_the_clients_file_name_is_only_shown(store: UploadStore, sent: str, shown: str) -> None:
    upload = save(store, b"x", name=sent)
    assert upload.file_name == shown
    assert re.fullmatch(r"[0-9a-f]{32}", upload.stored_at.name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.PNG", "image"),
        ("a.heif", "image"),
        ("a.mkv", "video"),
        ("a.flac", "audio"),
        ("a.csv", "text"),
        ("a.rs", "text"),
        ("Dockerfile", "text"),
        ("a.pdf", "unknown"),
        ("a.exe", "unknown"),
        ("a", "unknown"),
        ("", "unknown"),
    ],
)
def test_files_are_classed_by_extension(name: str, kind: str) -> None:
    assert classify(name) == kind


def test_a_dead_processs_uploads_are_removed_and_a_living_ones_kept(tmp_path: Path) -> None:
    program = (
        "import sys, os, asyncio\n"
        "from pathlib import Path\n"
        "from jackfield.server.settings import UploadLimits\n"
        "from jackfield.server.uploads import UploadStore\n"
        "store = UploadStore(UploadLimits(directory=Path(sys.argv[1]), free_disk_bytes=0), 10)\n"
        "(store.open() / 'orphan').write_bytes(b'x')\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "up")], check=False, timeout=30)
    assert len(list((tmp_path / "up").glob("process-*/orphan"))) == 1
    living = store_at(tmp_path)
    mine = save(living, b"x")
    assert list((tmp_path / "up").glob("process-*/orphan")) == []
    newer = store_at(tmp_path)
    newer.open()
    assert mine.stored_at.exists()
    newer.close()
    living.close()
    assert list((tmp_path / "up").glob("process-*")) == []


def test_a_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir(mode=0o755)
    (tmp_path / "up").chmod(0o755)
    with pytest.raises(ConfigError, match="is open to other users"):
        store_at(tmp_path).open()


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "up").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is not yours"):
        store_at(tmp_path).open()


def test_uploads_folder_is_private(make_app: Callable[..., RailApp], tmp_path: Path) -> None:
    store = make_app().layers.rail.uploads
    assert store.open().stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "uploads").stat().st_mode & 0o777 == 0o700
    store.close()
