"""An engine in a thread of this process: for libraries, notebooks and tests."""

from __future__ import annotations

import asyncio
import threading
from typing import TypeVar, cast

from jackfield.backend import OpenProgress
from jackfield.errors import Unavailable
from jackfield.host import Host
from jackfield.service.config import EngineConfig
from jackfield.service.front import Front, OpenStream
from jackfield.service.opening import ModelOpener, open_model
from jackfield.service.pipeline import Pipeline
from jackfield.service.questions import Question
from jackfield.service.reader import EventReader
from jackfield.service.requests import GenerationRequest
from jackfield.service.status import EngineLoad, ModelInfo

__all__ = ["ThreadService"]

T = TypeVar("T")

RETIRE_S = 600.0
"""A replaced model may take so long to finish what it was answering."""


class ThreadService(Front):
    """A service without a second process. A crash of a kernel is a crash of this program.

    Args:
        config: What to load and how.
        host: Where architectures, backends, tokenizers and formats are found; a new one by default.
        on_progress: Told from another thread what loading does.
        opener: Puts a model together; for tests.
    """

    def __init__(
        self,
        config: EngineConfig,
        host: Host | None = None,
        *,
        on_progress: OpenProgress | None = None,
        opener: ModelOpener = open_model,
    ) -> None:
        super().__init__(config, host or Host(allow=config.plugins))
        self._on_progress = on_progress
        self._opener = opener
        self._pipeline: Pipeline | None = None
        self._retiring: dict[asyncio.Task[None], Pipeline] = {}

    # ---- life ----

    async def stop(self, drain_s: float) -> None:
        """Refuse new requests, let running ones finish for ``drain_s``, then end them with an error."""
        self._state, self._reason = "stopped", "the server is shutting down"
        pipeline = self._pipeline  # stays known while it drains, so that a second, shorter stop reaches it
        for old in list(self._retiring.values()):
            await asyncio.to_thread(old.drain, 0.0)
        if pipeline is not None:
            await asyncio.to_thread(pipeline.drain, drain_s)
        if pipeline is not None and self._pipeline is pipeline:
            self._pipeline = None
            await asyncio.to_thread(pipeline.close)
            self._host.observe("jackfield_engine_stopped", reason=self._reason)
        await asyncio.gather(*self._retiring)

    async def _replace(self, config: EngineConfig) -> ModelInfo:
        making = asyncio.create_task(asyncio.to_thread(self._make_pipeline, config))
        try:
            pipeline = await asyncio.shield(making)
        except asyncio.CancelledError:  # the thread goes on, but nobody wants what it makes
            making.add_done_callback(self._discard)
            raise
        old, self._pipeline = self._pipeline, pipeline
        self._serves(pipeline.model.info, config)
        if old is not None:
            self._retire(old)
        return pipeline.model.info

    def _discard(self, making: asyncio.Task[Pipeline]) -> None:
        if not making.cancelled() and making.exception() is None:
            self._retire(making.result())

    def _make_pipeline(self, config: EngineConfig) -> Pipeline:
        pipeline = Pipeline(self._opener(config, self._host, self._on_progress), config)
        pipeline.start()
        return pipeline

    def _retire(self, pipeline: Pipeline) -> None:
        """Let a replaced model finish what it was answering, then release it."""
        task = asyncio.create_task(asyncio.to_thread(_drain_and_close, pipeline))
        self._retiring[task] = pipeline
        task.add_done_callback(lambda done: self._retiring.pop(done, None))

    # ---- requests ----

    def _open(self, request: GenerationRequest) -> OpenStream:
        reader = EventReader(self._config.stream_buffer_bytes)
        generation = self._running().submit(request, reader.buffer)
        return OpenStream(reader, lambda: generation.cancel() if generation else None)

    def _running(self) -> Pipeline:
        if self._pipeline is None or self._state == "stopped":
            raise Unavailable(f"no model answers: {self._reason}", retry_after_s=5)
        failure = self._pipeline.model.engine.stats().failure
        if failure:
            self._state, self._reason = "failed", failure
            raise Unavailable(f"no model answers: {failure}; load it again")
        return self._pipeline

    async def _ask(self, question: Question, answer: type[T]) -> T:
        withdrawn = threading.Event()
        try:
            reply = await asyncio.to_thread(self._running().answer, question, withdrawn)
        except asyncio.CancelledError:
            withdrawn.set()
            raise
        return cast("T", reply)

    def _heartbeat_age_s(self) -> float:
        return self._pipeline.model.engine.stats().heartbeat_age_s if self._pipeline is not None else 0.0

    def _load_now(self) -> EngineLoad:
        return self._pipeline.load_now() if self._pipeline is not None else EngineLoad()


def _drain_and_close(pipeline: Pipeline) -> None:
    pipeline.drain(RETIRE_S)
    pipeline.close()
