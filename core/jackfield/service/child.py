"""An engine in a child process: the server's default. What kills the engine does not kill the server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

from jackfield.backend import OpenProgress
from jackfield.errors import JackfieldError, Unavailable
from jackfield.host import Host
from jackfield.service.config import EngineConfig
from jackfield.service.engine_child import EngineChild
from jackfield.service.engine_spawn import COMMAND, EarlyEngine, EngineDied
from jackfield.service.front import Front, OpenStream
from jackfield.service.questions import Question
from jackfield.service.requests import GenerationRequest
from jackfield.service.status import EngineLoad, ModelInfo

__all__ = ["ChildService"]

log = logging.getLogger("jackfield.service")
T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
MAX_DEATHS, DEATHS_WITHIN_S = 5, 60.0
RETIRE_S = 600.0
"""A replaced model may take so long to finish what it was answering."""


class ChildService(Front):
    """A service whose engine has a process of its own, which is watched, restarted and replaced.

    A process that dies ends its streams with ``Unavailable`` and is started again after 1, 2, 4 … 30 s.
    Five deaths within a minute, or a model that cannot be loaded any more, leave the state ``failed`` until
    another model is loaded.

    Args:
        config: What to load and how; goes to the child as it is.
        host: Whose observers hear of requests; the child has a host of its own.
        on_progress: Told what loading does.
        command: What to start; for tests.
        early: A process that loads this model already.
    """

    def __init__(
        self,
        config: EngineConfig,
        host: Host | None = None,
        *,
        on_progress: OpenProgress | None = None,
        command: Sequence[str] = COMMAND,
        early: EarlyEngine | None = None,
    ) -> None:
        super().__init__(config, host or Host(allow=config.plugins))
        self._on_progress = on_progress
        self._command = command
        self._early = early
        self._child: EngineChild | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._restarts = 0
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS)

    # ---- life ----

    async def stop(self, drain_s: float) -> None:
        """Refuse new requests, let running ones finish for ``drain_s``, then end them with an error."""
        self._state, self._reason = "stopped", "the server is shutting down"
        self._end_supervision()
        child = self._child  # stays known while it drains, so that a second, shorter stop reaches it
        if child is not None:
            await child.stop(drain_s)
        if self._child is not None:
            self._child = None
            self._host.observe("jackfield_engine_stopped", reason=self._reason)
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    async def _replace(self, config: EngineConfig) -> ModelInfo:
        early, self._early = self._early, None
        child = await EngineChild.launch(config, self._on_progress, self._command, early)
        self._end_supervision()
        old, self._child = self._child, child
        self._deaths.clear()
        self._supervisor = asyncio.create_task(self._supervise(child, config))
        self._serves(child.info, config)
        if old is not None:
            self._keep(asyncio.create_task(_retire(old)))
        return child.info

    def _end_supervision(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            self._keep(supervisor)

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Hold on to a task that ends by itself; ``stop`` waits for it."""
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    # ---- supervision ----

    async def _supervise(self, child: EngineChild, config: EngineConfig) -> None:
        """Start another process whenever this one dies, until that has no sense any more."""
        try:
            await self._keep_alive(child, config)
        except Exception as error:  # nobody awaits this task: the state has to tell
            self._fail(self._as_ours(error, "restarting the engine").message)

    async def _keep_alive(self, child: EngineChild, config: EngineConfig) -> None:
        while True:
            reason = await asyncio.shield(child.gone)
            self._died(reason)
            successor = await self._restart(config)
            if successor is None:
                return
            child = self._child = successor
            self._restarts += 1
            self._serves(child.info, config)

    def _died(self, reason: str) -> None:
        self._child = None
        self._deaths.append(time.monotonic())
        self._state, self._reason = "restarting", f"the engine ended ({reason}) and is being restarted"
        log.error("the engine ended: %s", reason)
        self._host.observe("jackfield_engine_stopped", reason=reason)

    async def _restart(self, config: EngineConfig) -> EngineChild | None:
        """Return a new process; ``None`` when it is no use to try again, and the state says why."""
        while not self._gives_up():
            await asyncio.sleep(self._pause_s())
            try:
                return await EngineChild.launch(config, self._on_progress, self._command)
            except EngineDied as error:
                self._died(error.message)
            except JackfieldError as error:
                self._fail(f"the engine ended and cannot be started again: {error.message}")
                return None
        self._fail(f"the engine ended {MAX_DEATHS} times within {DEATHS_WITHIN_S:.0f} s: {self._reason}")
        return None

    def _gives_up(self) -> bool:
        is_full = len(self._deaths) == MAX_DEATHS
        return is_full and self._deaths[-1] - self._deaths[0] < DEATHS_WITHIN_S

    def _pause_s(self) -> float:
        recent = [at for at in self._deaths if self._deaths[-1] - at < DEATHS_WITHIN_S]
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (len(recent) - 1))

    def _fail(self, reason: str) -> None:
        self._state, self._reason = "failed", reason
        log.error("%s", reason)

    # ---- requests ----

    def _open(self, request: GenerationRequest) -> OpenStream:
        return self._running().open(request, self._config.stream_buffer_bytes)

    def _running(self) -> EngineChild:
        if self._child is None or self._state == "stopped":
            raise Unavailable(f"no model answers: {self._reason}", retry_after_s=5)
        return self._child

    async def _ask(self, question: Question, answer: type[T]) -> T:
        return await self._running().ask(question, answer)

    # ---- state ----

    def _load_now(self) -> EngineLoad:
        return self._child.load if self._child is not None else EngineLoad()

    def _heartbeat_age_s(self) -> float:
        return self._child.heartbeat_age_s if self._child is not None else 0.0

    def _num_restarts(self) -> int:
        return self._restarts


async def _retire(child: EngineChild) -> None:
    """Let a replaced model finish what it was answering; cut short, it is ended at once."""
    try:
        await child.stop(RETIRE_S)
    finally:
        await child.kill("the server is shutting down")
