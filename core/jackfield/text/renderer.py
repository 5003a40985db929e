"""Rendering chat templates in a process of their own, which is killed when it takes too long."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from jackfield.errors import JackfieldError, RequestError, TooLarge
from jackfield.text.portable import portable
from jackfield.text.rendering import READY, RenderJob, RenderReply, read_frame, write_frame

__all__ = ["RenderLimits", "Rendered", "TemplateRenderer"]

log = logging.getLogger(__name__)

START_LIMIT_S = 30.0
_REPLY = msgspec.msgpack.Decoder(RenderReply)
_ENCODER = msgspec.msgpack.Encoder()


@dataclass(frozen=True)
class RenderLimits:
    """What one rendering may cost."""

    time_s: float = 2.0
    memory_bytes: int = 256 << 20
    output_chars: int = 4 << 20


@dataclass(frozen=True)
class Rendered:
    """A prompt as text.

    Attributes:
        protected_spans: Half-open ranges, ascending: what a message spelt there is never a control token.
        tail: What the generation prompt added at the end; tells whether thinking is open.
    """

    text: str
    protected_spans: Sequence[tuple[int, int]] = ()
    tail: str = ""


class TemplateRenderer:
    """Owns the worker process; calls from several threads wait for each other.

    Args:
        clock: What ``strftime_now`` tells when a job does not pin it.
    """

    def __init__(
        self, limits: RenderLimits | None = None, clock: Callable[[], datetime] = datetime.now
    ) -> None:
        self._limits = limits or RenderLimits()
        self._clock = clock
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._is_closed = False

    def prewarm(self) -> None:
        """Start the worker without waiting for it, so that the first request does not."""
        with self._lock:
            self._ensure_worker()

    def render(self, job: RenderJob) -> Rendered:
        """Render a job as it is.

        Raises:
            RequestError: The template refuses the conversation, breaks on it, or exceeds a limit.
        """
        reply = self._exchange(job)
        if reply.kind == "done":
            return Rendered(reply.text, tail=reply.text[reply.tail_start :] if job.want_tail else "")
        if reply.kind == "refused":
            raise RequestError(reply.text, code="template_error", param="messages")
        raise RequestError(
            f"the model's chat template cannot render this conversation: {reply.text}",
            code="template_limit" if reply.kind == "limit" else "template_error",
            param="messages",
        )

    def problem(self, template: str) -> str | None:
        """Return why a template does not compile; ``None`` when it does."""
        reply = self._exchange(RenderJob(template, [], compile_only=True))
        return None if reply.kind == "done" else reply.text

    def close(self) -> None:
        """End the worker."""
        with self._lock:
            self._is_closed = True
            self._drop_worker()

    def __enter__(self) -> TemplateRenderer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---- the worker ----

    def _exchange(self, job: RenderJob) -> RenderReply:
        if not job.now:
            job = msgspec.structs.replace(job, now=self._clock().isoformat())
        data = _encoded(job)
        with self._lock:
            worker = self._ensure_worker()
            worker.wait_until_ready()
            reply = worker.ask(data, self._limits.time_s)
            if not isinstance(reply, RenderReply) or reply.kind == "limit":
                self._drop_worker()
                self._ensure_worker()
        if isinstance(reply, RenderReply):
            return reply
        return RenderReply("limit", reply)

    def _ensure_worker(self) -> _Worker:
        if self._is_closed:
            raise JackfieldError("the template renderer is closed; it renders nothing any more")
        if self._worker is None or not self._worker.is_alive:
            self._drop_worker()
            self._worker = _Worker(self._limits)
        return self._worker

    def _drop_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None


class _Worker:
    """One process and its two pipes."""

    def __init__(self, limits: RenderLimits) -> None:
        # its own alarm is the second line, for the day this process is not there to kill it
        arguments = [str(limits.memory_bytes), str(limits.time_s * 2), str(limits.output_chars)]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-P", "-m", "jackfield.text.render_worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs = self._process.stdin
        self._replies = self._process.stdout
        self._is_ready = False

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        if self._is_ready:
            return
        with _Deadline(START_LIMIT_S, self._process.kill):
            if read_frame(self._replies) != READY:
                raise JackfieldError(
                    f"the template process did not start within {START_LIMIT_S:.0f} s;"
                    f" expected {sys.executable!r} to run it"
                )
        self._is_ready = True

    def ask(self, data: bytes, time_limit_s: float) -> RenderReply | str:
        """Return the reply, or what became of the process."""
        with _Deadline(time_limit_s, self._process.kill) as deadline:
            try:
                write_frame(self._jobs, data)
                frame = read_frame(self._replies)
            except OSError:
                frame = None
        if deadline.has_passed:
            return f"it takes longer than {time_limit_s:g} s"
        return _REPLY.decode(frame) if frame is not None else "it needs too much memory"

    def kill(self) -> None:
        self._process.kill()
        for pipe in (self._jobs, self._replies):
            try:
                pipe.close()
            except OSError:  # bytes that the dead process never took
                log.debug("a pipe of the template process was not empty")
        self._process.wait()


class _Deadline:
    """Calls a function unless the block ends in time."""

    def __init__(self, seconds: float, at_end: Callable[[], None]) -> None:
        self._at_end = at_end
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True
        self.has_passed = False

    def _pass(self) -> None:
        self.has_passed = True
        self._at_end()

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._timer.cancel()


def _environment() -> dict[str, str]:
    """Return what the process needs to import this package, and nothing of the server's secrets."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "TZ") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUTF8": "1"}


def _encoded(job: RenderJob) -> bytes:
    try:
        return _ENCODER.encode(job)
    except OverflowError:  # an integer of more than 64 bits
        return _ENCODER.encode(portable(msgspec.to_builtins(job)))
    except RecursionError as error:
        raise TooLarge(
            f"the conversation cannot be passed to the template: {error}", param="messages"
        ) from error
    except UnicodeEncodeError as error:
        raise RequestError(
            "the conversation holds half of a character (a lone surrogate); expected valid Unicode",
            param="messages",
        ) from error
