"""Beside the engine: takes requests, lets each become a stream of events, and answers small questions."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from jackfield.errors import JackfieldError, Unavailable
from jackfield.service.admission import Admission
from jackfield.service.answering import Reply, answer
from jackfield.service.buffer import EventBuffer
from jackfield.service.config import EngineConfig
from jackfield.service.events import Failed
from jackfield.service.generation import Generation
from jackfield.service.history import TokenHistory
from jackfield.service.hosting import HostedModel
from jackfield.service.questions import ForgetSession, Question
from jackfield.service.requests import GenerationRequest
from jackfield.service.status import EngineLoad

__all__ = ["Pipeline"]

NUM_PREPARERS = 4
"""Prompts prepared at once; a slow template holds up at most itself and, when all are slow, those behind."""

POLL_S = 0.02
NEWEST_SHARE = 0.2
"""What the newest request counts in the mean running time."""


class Pipeline:
    """A hosted model at work. Every method is safe from any thread; none but ``submit`` returns at once.

    Args:
        model: Owned from here on: ``close`` stops its engine and releases it.
    """

    def __init__(self, model: HostedModel, config: EngineConfig) -> None:
        self.model = model
        self._config = config
        self._history = TokenHistory()
        self._admission = Admission(config.queue_limit, config.queue_limit_per_key)
        self._preparers = ThreadPoolExecutor(NUM_PREPARERS, thread_name_prefix="jackfield-prepare")
        self._serials = itertools.count()
        self._running: set[Generation] = set()
        self._lock = threading.Lock()
        self._is_draining = False
        self._pace = _Pace(config.max_sequences)

    def start(self) -> None:
        """Start the engine."""
        self.model.engine.start()

    # ---- generating ----

    def submit(self, request: GenerationRequest, buffer: EventBuffer) -> Generation | None:
        """Begin a request; all that becomes of it goes to the buffer. ``None`` when it is refused at once."""
        try:
            self._refuse_while_draining()
            self._admission.enter(request.priority_key)
        except JackfieldError as error:
            buffer.put(Failed(error.to_record()), is_last=True)
            return None
        generation = Generation(
            next(self._serials),
            request,
            self.model,
            self._config,
            self._history,
            buffer,
            on_admitted=lambda: self._admission.leave(request.priority_key),
            on_over=lambda: self._forget(generation),
            eta_s=self._pace.wait_s,
        )
        with self._lock:
            self._running.add(generation)
        self._preparers.submit(generation.run)
        return generation

    def _forget_session(self, session_id: str) -> None:
        """Cancel what runs in a session and let go of its pages."""
        with self._lock:
            running = [run for run in self._running if run.request.session_id == session_id]
        for generation in running:
            generation.cancel()
        self.model.engine.forget_session(session_id)

    def _refuse_while_draining(self) -> None:
        if self._is_draining:
            raise Unavailable("the server is shutting down; try again later", retry_after_s=10)

    def _forget(self, generation: Generation) -> None:
        with self._lock:
            self._running.discard(generation)
            if generation.running_s is not None:
                self._pace.saw(generation.running_s)

    def answer(self, question: Question, withdrawn: threading.Event) -> Reply:
        """Answer a question about the model; see ``jackfield.service.answering``."""
        if isinstance(question, ForgetSession):
            self._forget_session(question.session_id)
            return None
        return answer(question, self.model, self._config, withdrawn)

    # ---- state and end ----

    def load_now(self) -> EngineLoad:
        """Return what the engine is busy with."""
        stats = self.model.engine.stats()
        return EngineLoad(
            num_running=stats.num_running,
            num_waiting=self._admission.num_waiting,
            num_free_pages=stats.num_free_pages,
            num_pages=stats.num_pages,
            num_cached_tokens=stats.num_cached_tokens,
        )

    def drain(self, within_s: float) -> None:
        """Refuse new requests, wait for the running ones, then end what is left with an error."""
        self._is_draining = True
        deadline = time.monotonic() + within_s
        while self._running and time.monotonic() < deadline:
            time.sleep(POLL_S)
        with self._lock:
            left = list(self._running)
        for generation in left:
            generation.broke(
                Unavailable("the server shut down before the answer was complete", retry_after_s=10)
            )

    def close(self) -> None:
        """End everything now and release the model."""
        self.drain(0.0)
        self._preparers.shutdown(wait=True, cancel_futures=True)
        self.model.engine.stop()
        self.model.close()


class _Pace:
    """How long requests take, to tell those that wait."""

    def __init__(self, num_lanes: int) -> None:
        self._num_lanes = num_lanes
        self._mean_s: float | None = None

    def saw(self, running_s: float) -> None:
        """Take note of a request that ran so long; the last few count most."""
        mean_s = running_s if self._mean_s is None else self._mean_s
        self._mean_s = mean_s + (running_s - mean_s) * NEWEST_SHARE

    def wait_s(self, position: int) -> float | None:
        """Return the seconds until that place in the queue has its turn; ``None`` before anything ran."""
        return None if self._mean_s is None else round(self._mean_s * position / self._num_lanes, 1)
