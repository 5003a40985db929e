"""A cursor over a mapped GGUF file: every read is checked against the file's end before it happens.

Sizes are plain Python integers throughout, which cannot wrap around.
"""

from __future__ import annotations

import mmap
import struct
from array import array

from jackfield.errors import CheckpointError
from jackfield.gguf.limits import MAX_TEXT_BYTES

__all__ = ["Cursor", "quoted"]

_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_U64 = struct.Struct("<Q")


def quoted(name: str) -> str:
    """Return a name as it appears in a message: escaped, and short whatever the file says."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


class Cursor:
    """Walk over the bytes of one file.

    Args:
        view: The mapped file.
        file: Its name, for messages.
    """

    def __init__(self, view: mmap.mmap | bytes, file: str) -> None:
        self._view = view
        self.file = file
        self.size = len(view)
        self.position = 0

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the file."""
        return self.size - self.position

    def error(self, problem: str, at: int | None = None) -> CheckpointError:
        """Return an error that names the file and the byte; the caller raises it."""
        return CheckpointError(f"{self.file!r}: {problem} (byte {self.position if at is None else at})")

    def take(self, count: int, what: str) -> bytes:
        """Return a copy of the next ``count`` bytes; ``what`` says what they are in a message."""
        self._require(count, what)
        start, self.position = self.position, self.position + count
        return self._view[start : self.position]

    def unpack(self, layout: struct.Struct, what: str) -> int | float:
        """Return the next number of a one-field layout."""
        self._require(layout.size, what)
        value: int | float = layout.unpack_from(self._view, self.position)[0]
        self.position += layout.size
        return value

    def u32(self, what: str) -> int:
        """Return the next unsigned 32-bit integer."""
        return int(self.unpack(_U32, what))

    def i32(self, what: str) -> int:
        """Return the next signed 32-bit integer."""
        return int(self.unpack(_I32, what))

    def u64(self, what: str) -> int:
        """Return the next unsigned 64-bit integer."""
        return int(self.unpack(_U64, what))

    def text_bytes(self, what: str, limit: int) -> bytes:
        """Return the bytes of the next length-prefixed string."""
        start = self.position
        length = self.u64(f"the length of {what}")
        if length > limit:
            raise self.error(f"{what} claims {length} bytes; at most {limit} are allowed", start)
        return self.take(length, what)

    def name(self, what: str, limit: int) -> str:
        """Return the next string as an identifier: not empty, UTF-8, printable."""
        start = self.position
        raw = self.text_bytes(what, limit)
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            raise self.error(f"{what} {raw[:64]!r} is not UTF-8", start) from None
        if not name or not name.isprintable():
            raise self.error(f"{what} is {name[:64]!r}; expected printable characters", start)
        return name

    def skip_texts(self, count: int, what: str) -> array[int]:
        """Step over ``count`` strings and return where each ends, relative to the first one's length.

        The only loop that runs once per vocabulary entry while opening, hence the local names.
        """
        view, size, unpack = self._view, self.size, _U64.unpack_from
        start = position = self.position
        ends = array("Q")
        append = ends.append
        for _ in range(count):
            if position + 8 > size:
                break
            length = unpack(view, position)[0]
            position += 8 + length
            if length > MAX_TEXT_BYTES or position > size:
                break
            append(position - start)
        if len(ends) < count:
            at = start + (ends[-1] if ends else 0)
            raise self.error(f"element {len(ends)} of {what} does not fit in the file", at)
        self.position = position
        return ends

    def copy(self, start: int) -> bytes:
        """Return a copy of what lies between ``start`` and here."""
        return self._view[start : self.position]

    def _require(self, count: int, what: str) -> None:
        if count > self.remaining:
            raise self.error(
                f"{what} needs {count} bytes but only {self.remaining} are left; the file is truncated"
            )
