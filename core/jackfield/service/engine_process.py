"""The engine's process: ``python -m jackfield.service.engine_process``, started by ``ChildService``.

Orders come on a private copy of standard input, reports go to one of standard output; what anything here
prints goes to standard error. When the pipe ends, the parent is gone, and so is this process.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec

from jackfield.errors import JackfieldError
from jackfield.host import Host
from jackfield.service.config import EngineConfig
from jackfield.service.engine_spawn import OBJECTS_BETWEEN_SEARCHES
from jackfield.service.frames import (
    EXIT_ENGINE_DEAD,
    EXIT_FILE_CHANGED,
    EXIT_PARENT_GONE,
    EXIT_START_FAILED,
    Answer,
    Ask,
    Beat,
    Cancel,
    Configure,
    Drain,
    FrameDecoder,
    Generate,
    Hold,
    Logged,
    Order,
    Progress,
    Ready,
    Resume,
    StartFailed,
    Withdraw,
    decode_order,
)
from jackfield.service.generation import Generation
from jackfield.service.opening import ModelOpener, open_model
from jackfield.service.outbox import Outbox
from jackfield.service.pipeline import Pipeline
from jackfield.service.status import EngineLoad

__all__ = ["main"]

log = logging.getLogger("jackfield.service")

BEAT_S = 0.5
LAST_WORDS_S = 2.0
READ_BYTES = 1 << 16
NUM_ANSWERERS = 4
LOOK_S = 5.0
"""How often the model's files are looked at."""


def main(opener: ModelOpener = open_model) -> None:
    """Serve one model until told to end, or until the parent is gone. Does not return."""
    faulthandler.enable()
    gc.set_threshold(OBJECTS_BETWEEN_SEARCHES)
    for name in ("SIGINT", "SIGTERM"):  # they reach the whole group: when to end is the parent's decision
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    orders, reports = _private_pipes()
    outbox = Outbox(reports, on_broken=lambda: os._exit(EXIT_PARENT_GONE))
    _send_logs_to(outbox)
    received = _orders(orders)
    first = next(received, None)
    if not isinstance(first, Configure):
        os._exit(EXIT_PARENT_GONE)
    code = _serve(first.config, opener, outbox, received)
    outbox.close(LAST_WORDS_S)
    os._exit(code)  # threads of a backend that hangs must not keep the process


def _serve(config: EngineConfig, opener: ModelOpener, outbox: Outbox, orders: Iterator[Order]) -> int:
    beats = _Beats(outbox)
    try:
        pipeline = _open(config, opener, outbox)
    except JackfieldError as error:
        outbox.send(StartFailed(error.to_record()))
        return EXIT_START_FAILED
    except Exception as error:
        log.exception("loading %r failed", config.model)
        what = f"loading {os.path.basename(config.model)!r} failed: {type(error).__name__}: {error}"
        outbox.send(StartFailed(JackfieldError(what).to_record()))
        return EXIT_START_FAILED
    beats.watch(pipeline)
    outbox.send(Ready(pipeline.model.info))
    return _EngineProcess(pipeline, config, outbox).run(orders)


def _open(config: EngineConfig, opener: ModelOpener, outbox: Outbox) -> Pipeline:
    host = Host(allow=config.plugins)

    def progress(what: str, num_done: int, num_steps: int) -> None:
        outbox.send(Progress(what, num_done, num_steps))

    pipeline = Pipeline(opener(config, host, progress), config)
    pipeline.start()
    return pipeline


class _EngineProcess:
    """Obeys orders, on the process's main thread."""

    def __init__(self, pipeline: Pipeline, config: EngineConfig, outbox: Outbox) -> None:
        self._pipeline = pipeline
        self._config = config
        self._outbox = outbox
        self._generations: dict[int, Generation] = {}
        self._asked: dict[int, threading.Event] = {}
        outbox.on_stream_over = self._forget
        self._answerers = ThreadPoolExecutor(NUM_ANSWERERS, thread_name_prefix="jackfield-answer")

    def run(self, orders: Iterator[Order]) -> int:
        """Obey until the parent is gone or wants the end; return the exit status."""
        for order in orders:
            if isinstance(order, Drain):
                # orders still come while draining: a client may leave, a second Drain may be shorter
                threading.Thread(target=self._drain, args=(order.within_s,), daemon=True).start()
            else:
                self._obey(order)
        threading.Timer(LAST_WORDS_S / 2, os._exit, (EXIT_PARENT_GONE,)).start()
        self._pipeline.close()
        return EXIT_PARENT_GONE

    def _obey(self, order: Order) -> None:
        if isinstance(order, Generate):
            self._generate(order)
        elif isinstance(order, Cancel):
            self._cancel(order.stream)
        elif isinstance(order, Hold):
            self._outbox.hold(order.stream)
        elif isinstance(order, Resume):
            self._outbox.resume(order.stream)
        elif isinstance(order, Ask):
            self._ask(order)
        elif isinstance(order, Withdraw):
            self._withdraw(order.call)

    def _generate(self, order: Generate) -> None:
        buffer = self._outbox.open_stream(order.stream, self._config.stream_buffer_bytes)
        generation = self._pipeline.submit(order.request, buffer)
        if generation is not None:
            self._generations[order.stream] = generation
            if generation.is_over:  # it was over before it could be found here
                self._forget(order.stream)

    def _forget(self, stream: int) -> None:
        self._generations.pop(stream, None)

    def _cancel(self, stream: int) -> None:
        generation = self._generations.pop(stream, None)
        self._outbox.drop_stream(stream)
        if generation is not None:
            generation.cancel()

    def _ask(self, ask: Ask) -> None:
        withdrawn = self._asked[ask.call] = threading.Event()
        self._answerers.submit(self._answer, ask, withdrawn)

    def _withdraw(self, call: int) -> None:
        withdrawn = self._asked.get(call)
        if withdrawn is not None:
            withdrawn.set()

    def _answer(self, ask: Ask, withdrawn: threading.Event) -> None:
        try:
            reply = msgspec.msgpack.encode(self._pipeline.answer(ask.question, withdrawn))
            self._outbox.send(Answer(ask.call, msgspec.Raw(reply)))
        except JackfieldError as error:
            self._outbox.send(Answer(ask.call, error=error.to_record()))
        except Exception:
            log.exception("answering %s failed", type(ask.question).__name__)
            failure = JackfieldError("answering failed; the log has the cause")
            self._outbox.send(Answer(ask.call, error=failure.to_record()))
        finally:
            del self._asked[ask.call]

    def _drain(self, within_s: float) -> None:
        self._pipeline.drain(within_s)
        self._pipeline.close()
        self._outbox.close(LAST_WORDS_S)
        os._exit(0)


class _Beats:
    """Sends a sign of life twice a second, and ends the process when its engine is dead."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._pipeline: Pipeline | None = None
        self._looked_at = time.monotonic()
        threading.Thread(target=self._run, name="jackfield-beats", daemon=True).start()

    def watch(self, pipeline: Pipeline) -> None:
        """Tell of this engine from now on."""
        self._pipeline = pipeline
        self._outbox.send(self._beat())

    def _run(self) -> None:
        while True:
            self._outbox.send(self._beat())
            time.sleep(BEAT_S)

    def _beat(self) -> Beat:
        if self._pipeline is None:
            return Beat(EngineLoad(), 0.0)
        stats = self._pipeline.model.engine.stats()
        if stats.failure:
            self._end(stats.failure, EXIT_ENGINE_DEAD)
        if time.monotonic() - self._looked_at > LOOK_S:
            self._look(self._pipeline)
        return Beat(self._pipeline.load_now(), stats.heartbeat_age_s)

    def _look(self, pipeline: Pipeline) -> None:
        self._looked_at = time.monotonic()
        damage = pipeline.model.damage()
        if damage is not None:
            self._end(damage, EXIT_FILE_CHANGED)

    def _end(self, reason: str, status: int) -> None:
        log.error("%s", reason)
        self._outbox.close(LAST_WORDS_S)
        os._exit(status)


class _LogSender(logging.Handler):
    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        self._outbox.send(Logged(record.name, record.levelno, self.format(record)))


def _send_logs_to(outbox: Outbox) -> None:
    """Let the parent write the log, in its one format and place."""
    root = logging.getLogger()
    root.handlers[:] = [_LogSender(outbox)]
    root.setLevel(logging.INFO)
    logging.getLogger("jackfield.host").setLevel(logging.ERROR)  # the parent's own host warned already


def _private_pipes() -> tuple[int, int]:
    """Move the pipes where nothing that prints, and no process started from here, finds them."""
    orders, reports = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return orders, reports


def _orders(descriptor: int) -> Iterator[Order]:
    decoder = FrameDecoder()
    while data := os.read(descriptor, READ_BYTES):
        for frame in decoder.feed(data):
            yield decode_order(frame)


if __name__ == "__main__":
    main()
