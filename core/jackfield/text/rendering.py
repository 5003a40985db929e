"""What the renderer and its worker say to each other: frames of msgpack on a private pipe."""

from __future__ import annotations

import struct
from typing import IO, Any, Literal

import msgspec

__all__ = ["MARKS", "READY", "RenderJob", "RenderReply", "read_frame", "write_frame"]

READY = b"ready"
MARKS = tuple(chr(code) for code in range(0xFDD0, 0xFDF0))
"""Code points that no text may use for exchange; they tell protected places in a rendering."""

_LENGTH = struct.Struct("<I")


class RenderJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """One conversation to render.

    Attributes:
        template: The template's source.
        messages: As the template gets them: plain lists, dicts, texts, numbers.
        variables: Further names the template may use, the special tokens' texts among them.
        now: ISO date and time that ``strftime_now`` tells; the moment of rendering when empty.
        want_tail: Also render without the generation prompt, to learn what it adds.
        compile_only: Only tell whether the template compiles.
    """

    template: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    documents: list[dict[str, Any]] | None = None
    variables: dict[str, Any] = {}
    add_generation_prompt: bool = True
    now: str = ""
    want_tail: bool = False
    compile_only: bool = False


class RenderReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a job.

    Attributes:
        kind: ``refused`` when the template raised on purpose, ``failed`` when it broke, ``limit`` when it
            wanted more than it may have.
        tail_start: Where the generation prompt begins in ``text``, if asked for.
    """

    kind: Literal["done", "refused", "failed", "limit"]
    text: str = ""
    tail_start: int = 0


def write_frame(stream: IO[bytes], data: bytes) -> None:
    """Write one frame and flush it."""
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes | None:
    """Return the next frame; ``None`` when the other side is gone."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(header)
    data = stream.read(size)
    return data if len(data) == size else None
