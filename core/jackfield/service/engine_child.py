"""One engine's process as its parent sees it: started, asked, listened to, and buried."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from jackfield.backend import OpenProgress
from jackfield.errors import BackendError, JackfieldError, Unavailable
from jackfield.service.config import EngineConfig
from jackfield.service.engine_spawn import COMMAND, EarlyEngine, EngineDied, spawn
from jackfield.service.events import Failed
from jackfield.service.frames import (
    EXIT_ENGINE_DEAD,
    EXIT_FILE_CHANGED,
    Answer,
    Ask,
    Beat,
    Cancel,
    Configure,
    Drain,
    Events,
    FrameDecoder,
    Generate,
    Hold,
    Logged,
    Order,
    Progress,
    Ready,
    Report,
    Resume,
    StartFailed,
    Withdraw,
    decode_report,
    encode_frame,
)
from jackfield.service.front import OpenStream
from jackfield.service.piped_process import PipedProcess
from jackfield.service.questions import Question
from jackfield.service.reader import EventReader
from jackfield.service.requests import GenerationRequest
from jackfield.service.status import EngineLoad, ModelInfo

__all__ = ["EngineChild"]

log = logging.getLogger("jackfield.service")
T = TypeVar("T")

READ_BYTES = 1 << 16
WATCH_S = 0.5
SILENT_S = 10.0
"""Without a sign of life for so long, a process is dead."""

STUCK_S = 60.0
"""An engine whose one step takes so long hangs."""

LAST_WORDS_S = 5.0
RETRY_AFTER_S = 5


class EngineChild:
    """A running engine's process. Belongs to one event loop; made by ``launch``.

    Attributes:
        gone: Resolves with the reason, one sentence, when the process is no more.
        info: The model that answers.
    """

    info: ModelInfo

    def __init__(self, process: PipedProcess, on_progress: OpenProgress | None) -> None:
        self._process = process
        self._on_progress = on_progress
        loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[str] = loop.create_future()
        self._ready: asyncio.Future[ModelInfo] = loop.create_future()
        self._numbers = itertools.count()
        self._streams: dict[int, EventReader] = {}
        self._calls: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._beat = Beat(EngineLoad(), 0.0)
        self._beat_at = time.monotonic()
        self._verdict = ""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch())]

    @classmethod
    async def launch(
        cls,
        config: EngineConfig,
        on_progress: OpenProgress | None = None,
        command: Sequence[str] = COMMAND,
        early: EarlyEngine | None = None,
    ) -> EngineChild:
        """Start a process, unless one loads this model already, and return when its model answers.

        Raises:
            JackfieldError: What kept it from loading; the process is gone then.
        """
        process = spawn(command) if early is None else early.take()
        child = cls(await PipedProcess.attach(process), on_progress)
        if early is None:
            child._send(Configure(config))
        try:
            child.info = await child._until_ready(config.start_timeout_s)
        except BaseException:
            await child.kill("its model was not loaded")
            raise
        return child

    async def _until_ready(self, timeout_s: float) -> ModelInfo:
        awaited: list[asyncio.Future[Any]] = [self._ready, self.gone]
        await asyncio.wait(awaited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        if self.gone.done():
            raise EngineDied(f"the engine's process ended while it loaded the model: {self.gone.result()}")
        raise BackendError(
            f"the model was not loaded within {timeout_s:.0f} s; raise start_timeout_s if the machine is slow"
        )

    # ---- requests ----

    def open(self, request: GenerationRequest, buffer_bytes: int) -> OpenStream:
        """Hand a request to the engine. Raises ``Unavailable`` when it is gone."""
        self._require_life()
        reader, stream = EventReader(buffer_bytes), next(self._numbers)
        reader.buffer.on_change = lambda: self._keep_pace(stream, reader)
        self._send(Generate(stream, request))
        self._streams[stream] = reader
        return OpenStream(reader, lambda: self._cancel(stream))

    async def ask(self, question: Question, answer: type[T]) -> T:
        """Return the answer to a question; raises what the engine's side raised."""
        self._require_life()
        call = next(self._numbers)
        self._calls[call] = asyncio.get_running_loop().create_future()
        try:
            self._send(Ask(call, question))
            return msgspec.msgpack.decode(await self._calls[call], type=answer)
        except asyncio.CancelledError:
            self._send(Withdraw(call))
            raise
        finally:
            del self._calls[call]

    def _cancel(self, stream: int) -> None:
        if self._streams.pop(stream, None) is not None:
            self._send(Cancel(stream))

    def _keep_pace(self, stream: int, reader: EventReader) -> None:
        if stream in self._streams:
            self._send(Hold(stream) if reader.buffer.is_full else Resume(stream))

    def _require_life(self) -> None:
        if self._verdict or self.gone.done():
            raise Unavailable("the engine is being restarted; try again", retry_after_s=RETRY_AFTER_S)

    def _send(self, order: Order) -> None:
        if not self._process.orders.is_closing() and not self.gone.done():
            self._process.orders.write(encode_frame(order))

    # ---- state ----

    @property
    def load(self) -> EngineLoad:
        """What the engine was busy with at its last sign of life."""
        return self._beat.load

    @property
    def heartbeat_age_s(self) -> float:
        """Seconds since the engine itself, not only its process, showed that it is alive."""
        return time.monotonic() - self._beat_at + self._beat.engine_age_s

    @property
    def process_id(self) -> int:
        """For logs and tests."""
        return self._process.process_id

    # ---- the end ----

    async def stop(self, drain_s: float) -> None:
        """Let it finish what it does within ``drain_s``, then end it."""
        self._send(Drain(drain_s))
        await asyncio.wait([self.gone], timeout=drain_s + LAST_WORDS_S)
        await self.kill("it did not end when told to")

    async def kill(self, reason: str) -> None:
        """End the process now, and return when it is gone; nothing happens when it is."""
        self._condemn(reason)
        await asyncio.wait([self.gone])
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _condemn(self, reason: str) -> None:
        """Kill the process and fail its streams now; a stopped process may take its time to go."""
        if self.gone.done() or self._verdict:
            return
        self._verdict = reason
        self._fail_all(reason)
        try:
            self._process.kill()
        except ProcessLookupError:  # it ended by itself a moment ago
            log.debug("the engine's process %d was gone already", self.process_id)

    def _fail_all(self, reason: str) -> None:
        error = Unavailable(
            f"the engine stopped before the answer was complete ({reason}); try again",
            retry_after_s=RETRY_AFTER_S,
        )
        for reader in self._streams.values():
            reader.buffer.put(Failed(error.to_record()), is_last=True)
        self._streams.clear()
        for pending in self._calls.values():
            if not pending.done():
                pending.set_exception(error)

    # ---- listening ----

    async def _listen(self) -> None:
        try:
            await self._read_reports()
            reason = self._verdict or "it closed its pipe"
        except Exception as error:  # what it sent cannot be understood: it is of no use any more
            log.exception("the engine's process sent what is no report")
            reason = f"it sent what is no report: {error}"
            self._process.kill()
        status = await self._process.wait()
        reason = self._verdict or _describe(status) or reason
        self._fail_all(reason)
        self._process.orders.close()
        self.gone.set_result(reason)

    async def _read_reports(self) -> None:
        decoder = FrameDecoder()
        while data := await self._process.reports.read(READ_BYTES):
            for frame in decoder.feed(data):
                self._take(decode_report(frame))

    def _take(self, report: Report) -> None:
        if isinstance(report, Events):
            self._take_events(report)
        elif isinstance(report, Beat):
            self._beat, self._beat_at = report, time.monotonic()
        elif isinstance(report, Answer):
            self._take_answer(report)
        elif isinstance(report, Logged):
            logging.getLogger(report.logger).log(report.level, "%s", report.message)
        elif isinstance(report, Progress):
            if self._on_progress is not None:
                self._on_progress(report.what, report.num_done, report.num_steps)
        else:
            self._take_start(report)

    def _take_start(self, report: Ready | StartFailed) -> None:
        if self._ready.done():
            return
        if isinstance(report, Ready):
            self._ready.set_result(report.info)
        else:
            self._ready.set_exception(JackfieldError.from_record(report.error))

    def _take_events(self, report: Events) -> None:
        reader = self._streams.get(report.stream)
        if reader is None:  # cancelled, but the engine did not know yet
            return
        if report.is_over:
            del self._streams[report.stream]
        for position, event in enumerate(report.events, 1):
            reader.buffer.put(event, is_last=report.is_over and position == len(report.events))

    def _take_answer(self, report: Answer) -> None:
        pending = self._calls.get(report.call)
        if pending is None or pending.done():
            return
        if report.error is not None:
            pending.set_exception(JackfieldError.from_record(report.error))
        else:
            pending.set_result(report.value)

    # ---- watching ----

    async def _watch(self) -> None:
        """Declare the process dead when it is silent. This loop being held up itself is no silence."""
        looked_at = time.monotonic()
        while not self.gone.done():
            await asyncio.wait([self.gone], timeout=WATCH_S)
            now = time.monotonic()
            self._beat_at += max(0.0, now - looked_at - 2 * WATCH_S)
            looked_at = now
            if self._ready.done():
                self._judge(now)

    def _judge(self, now: float) -> None:
        if now - self._beat_at > SILENT_S:
            self._condemn(f"no sign of life for {SILENT_S:.0f} s")
        elif self.heartbeat_age_s > STUCK_S:
            self._condemn(f"one step takes longer than {STUCK_S:.0f} s")


_STATUSES = {
    EXIT_ENGINE_DEAD: "its thread died; the log has the cause",
    EXIT_FILE_CHANGED: "the model's file was changed in place",
}


def _describe(status: int) -> str:
    """Return what an exit status means; empty for an ordinary end."""
    if status >= 0:
        return _STATUSES.get(status, f"exit status {status}") if status else ""
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
