"""What a service and its engine's process say to each other: length-prefixed msgpack, typed on both sides."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from jackfield.errors import ErrorRecord, TooLarge
from jackfield.service.config import EngineConfig
from jackfield.service.events import Event
from jackfield.service.questions import Question
from jackfield.service.requests import GenerationRequest
from jackfield.service.status import EngineLoad, ModelInfo
from jackfield.text.portable import portable

__all__ = [
    "EXIT_ENGINE_DEAD",
    "EXIT_FILE_CHANGED",
    "EXIT_PARENT_GONE",
    "EXIT_START_FAILED",
    "Answer",
    "Ask",
    "Beat",
    "Cancel",
    "Configure",
    "Drain",
    "Events",
    "FrameDecoder",
    "Generate",
    "Hold",
    "Logged",
    "Order",
    "Progress",
    "Ready",
    "Report",
    "Resume",
    "StartFailed",
    "Withdraw",
    "decode_order",
    "decode_report",
    "encode_frame",
]

EXIT_START_FAILED, EXIT_ENGINE_DEAD, EXIT_PARENT_GONE, EXIT_FILE_CHANGED = 2, 3, 4, 5
"""What the process's exit status says."""

LENGTH = struct.Struct("<I")
NOTHING = msgspec.Raw(msgspec.msgpack.encode(None))
MAX_FRAME_BYTES = 256 << 20
"""More than any request the server lets in: its images and texts, and some."""


# ---- to the engine's process ----


class Configure(msgspec.Struct, frozen=True, tag="configure"):
    """The first order: what to load."""

    config: EngineConfig


class Generate(msgspec.Struct, frozen=True, tag="generate"):
    """Run a request; its events come back under this stream number."""

    stream: int
    request: GenerationRequest


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Nobody reads that stream any more."""

    stream: int


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """That stream's reader is behind: send it nothing for now."""

    stream: int


class Resume(msgspec.Struct, frozen=True, tag="resume"):
    """That stream's reader has caught up."""

    stream: int


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Take nothing new, finish what runs within this time, then exit."""

    within_s: float


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """A question; the answer comes back under this call number."""

    call: int
    question: Question


class Withdraw(msgspec.Struct, frozen=True, tag="withdraw"):
    """Nobody waits for the answer to that call any more."""

    call: int


Order: TypeAlias = Configure | Generate | Cancel | Hold | Resume | Drain | Ask | Withdraw


# ---- from the engine's process ----


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """What loading does now; ``num_done`` of ``num_steps``."""

    what: str
    num_done: int
    num_steps: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model answers from now on."""

    info: ModelInfo


class StartFailed(msgspec.Struct, frozen=True, tag="start_failed"):
    """The model cannot be loaded; the process exits."""

    error: ErrorRecord


class Events(msgspec.Struct, frozen=True, tag="events"):
    """Events of a stream; after ``is_over`` there are no more."""

    stream: int
    events: list[Event]
    is_over: bool


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """The answer to a question: a value of the question's own type, or an error."""

    call: int
    value: msgspec.Raw = NOTHING
    error: ErrorRecord | None = None


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """A sign of life; ``engine_age_s`` since the engine's own thread last gave one."""

    load: EngineLoad
    engine_age_s: float


class Logged(msgspec.Struct, frozen=True, tag="logged"):
    """A line for the server's log."""

    logger: str
    level: int
    message: str


Report: TypeAlias = Progress | Ready | StartFailed | Events | Answer | Beat | Logged


# ---- bytes ----

_ENCODER = msgspec.msgpack.Encoder()
_ORDERS: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_REPORTS: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def encode_frame(message: Order | Report) -> bytes:
    """Return a message with its length before it. Raises ``TooLarge``."""
    try:
        data = _ENCODER.encode(message)
    except OverflowError:  # an integer of more than 64 bits, in a schema or in arguments
        data = _ENCODER.encode(portable(msgspec.to_builtins(message, builtin_types=(bytes,))))
    if len(data) > MAX_FRAME_BYTES:
        raise TooLarge(f"a message of {len(data)} bytes cannot be passed on, at most {MAX_FRAME_BYTES} can")
    return LENGTH.pack(len(data)) + data


def decode_order(data: bytes) -> Order:
    """Read an order; raises ``msgspec.MsgspecError`` when it is none."""
    return _ORDERS.decode(data)


def decode_report(data: bytes) -> Report:
    """Read a report; raises ``msgspec.MsgspecError`` when it is none."""
    return _REPORTS.decode(data)


class FrameDecoder:
    """Cut a stream of bytes into messages, however the bytes come."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes and yield each message that is complete.

        Raises:
            ValueError: A length is over the limit: the two sides are out of step.
        """
        self._pending += data
        start = 0
        while len(self._pending) - start >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._pending, start)
            if size > MAX_FRAME_BYTES:
                raise ValueError(f"a frame claims {size} bytes, at most {MAX_FRAME_BYTES} are expected")
            stop = start + LENGTH.size + size
            if len(self._pending) < stop:
                break
            yield bytes(self._pending[start + LENGTH.size : stop])
            start = stop
        del self._pending[:start]
