"""The engine: one thread that owns an executable and runs every sequence on it.

``submit``, ``cancel`` and the like may be called from any thread; sinks are called from the engine's own.
Two things never happen: a sequence that ends without its sink being told, and memory that stays with one
that did.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Items
from concurrent.futures import Future
from typing import TypeVarTuple, Unpack

import numpy as np
import numpy.typing as npt

from jackfield.backend import Executable, Limits
from jackfield.descriptors import SamplerDescriptor
from jackfield.engine.batch import Scheduled
from jackfield.engine.cache import SequenceCache
from jackfield.engine.contract import CacheExpectation, EngineStats, PoolingKind, SequenceRequest
from jackfield.engine.drafting import MakeDrafter
from jackfield.engine.intake import Intake
from jackfield.engine.sampling import BareVocabulary, VocabularyView
from jackfield.engine.scheduler import Scheduler
from jackfield.engine.sequence import Ending, Pooling, Sequence
from jackfield.errors import (
    BackendError,
    ConfigError,
    JackfieldError,
    OutOfMemory,
    RequestError,
    Unavailable,
)
from jackfield.program import BlockDiffusion

__all__ = ["Engine"]

log = logging.getLogger("jackfield.engine")
F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
A = TypeVarTuple("A")

IDLE_WAIT_S = 0.5
DRAIN_WAIT_S = 0.02
STOP_PATIENCE_S = 10.0
RETRY_AFTER_S = 5


class Engine:
    """Run sequences on an executable.

    Args:
        executable: Used by nobody else until the engine has stopped; the caller's to close then.
        limits: What the executable was opened with.
        vocab_size: V; the logits' width.
        context_length: Most tokens of a sequence, unless the limits allow fewer.
        is_recurrent: Whether the program has convolution or recurrent state.
        diffusion: How blocks are refined; ``None`` to pick token by token.
        samplers: Sampling stages of plugins.
        make_drafter: Makes what guesses for a sequence; ``None`` to pick one token a step. A program with
            convolution or recurrent state is never guessed for: a state cannot be cut back to a shorter text.
        vocabulary: What those may know of the vocabulary; a ``Tokenizer`` is one. Where it is smaller
            than V, the logits beyond are padding and never picked.
        check_invariants: Check the books after every step; for tests and debugging.
        on_free_page: Called with each page that falls free; for tests.
        clock: Seconds, never going back: ages cached pages and times steps.
    """

    def __init__(
        self,
        executable: Executable,
        limits: Limits,
        *,
        vocab_size: int,
        context_length: int,
        is_recurrent: bool,
        diffusion: BlockDiffusion | None = None,
        samplers: Items[SamplerDescriptor] = (),
        make_drafter: MakeDrafter | None = None,
        vocabulary: VocabularyView | None = None,
        check_invariants: bool = False,
        on_free_page: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._executable = executable
        self._vocab_size = vocab_size
        self._clock = clock
        if diffusion is not None and diffusion.canvas_length > min(limits.max_rows, limits.max_outputs):
            raise ConfigError(
                f"a block takes {diffusion.canvas_length} rows and as many outputs in one step; the limits allow "
                f"{limits.max_rows} rows and {limits.max_outputs} outputs"
            )
        self._checks = check_invariants
        self.max_context = min(context_length, limits.max_context, limits.num_pages * limits.page_size)
        vocabulary = vocabulary or BareVocabulary(vocab_size)
        self._intake = Intake(
            min(vocab_size, vocabulary.vocab_size),
            self.max_context,
            diffusion=diffusion,
            samplers=samplers,
            make_drafter=None if is_recurrent else make_drafter,
            vocabulary=vocabulary,
        )
        self._cache = SequenceCache(
            executable, limits, is_recurrent=is_recurrent, clock=clock, on_free=on_free_page
        )
        self._scheduler = Scheduler(self._cache, limits, self.max_context)
        self._num_pages = limits.num_pages
        self._page_size = limits.page_size
        self._by_id: dict[str, Sequence] = {}
        self._orders: deque[Callable[[], None]] = deque()
        self._signal = threading.Condition()
        self._thread: threading.Thread | None = None
        self._heartbeat_ns = time.monotonic_ns()
        self._deadline_s: float | None = None
        self._num_processed = 0
        self._num_steps = 0
        self.failure = ""

    # ---- from any thread ----

    def start(self) -> None:
        """Start the engine's thread."""
        assert self._thread is None, "the engine was started before"
        self._thread = threading.Thread(target=self._run, name="jackfield-engine", daemon=True)
        self._thread.start()

    def stop(self, drain_s: float = 0.0) -> None:
        """Refuse new sequences and end the waiting ones; let the others finish for ``drain_s``.

        Sequences that are left fail with ``Unavailable``. Returns when the thread has ended.
        """
        with self._signal:
            self._deadline_s = time.monotonic() + drain_s
            self._signal.notify()
        if self._thread is None:
            self._shut_down()
            return
        self._thread.join(drain_s + STOP_PATIENCE_S)
        if self._thread.is_alive():
            log.error("the engine did not stop within %.0f s; a step hangs", drain_s + STOP_PATIENCE_S)

    def submit(self, request: SequenceRequest) -> None:
        """Queue a sequence; from here on its sink hears of it.

        Raises:
            RequestError: An id outside the vocabulary, a sampling parameter without meaning, a used id.
            ContextOverflow: The prompt leaves no room for a token.
            Unavailable: The engine is stopping or dead.
        """
        self._enter(self._intake.answer(request))

    def embed(
        self, tokens: Items[int], *, pooling: PoolingKind = "mean", priority_key: str = ""
    ) -> Future[F32]:
        """Queue tokens to be pooled: the mean of their hidden rows, or one of them, scaled to length 1.

        Cancelling the future cancels the work. Raises as ``submit`` does.
        """
        sequence = self._intake.pooling(tokens, pooling, priority_key)
        self._enter(sequence)
        sequence.future.add_done_callback(
            lambda future: self.cancel(sequence.id) if future.cancelled() else None
        )
        return sequence.future

    def expect(
        self, tokens: Items[int], *, cache_salt: str = "", session_id: str | None = None
    ) -> Future[CacheExpectation]:
        """Look up what the cache would give a prompt now. Raises as ``submit`` does."""
        prompt = self._intake.prompt(tokens)
        expectation: Future[CacheExpectation] = Future()
        with self._signal:
            if self._deadline_s is not None:
                raise self._stopping()
            self._orders.append(
                lambda: expectation.set_result(self._cache.expect(prompt, cache_salt, session_id))
            )
            self._signal.notify()
        return expectation

    def cancel(self, request_id: str) -> None:
        """End a sequence within one step; its sink hears ``cancelled``. Unknown ids are passed over."""
        sequence = self._by_id.get(request_id)
        if sequence is not None:
            sequence.is_cancelled = True
            self._order(lambda: self._cancel(sequence))

    def pause(self, request_id: str) -> None:
        """Compute no more for a sequence whose reader is slow, until ``resume``."""
        self._order(lambda: self._set_paused(request_id, True))

    def resume(self, request_id: str) -> None:
        """Go on with a paused sequence."""
        self._order(lambda: self._set_paused(request_id, False))

    def forget_session(self, session_id: str) -> None:
        """Forget a session and free the pages only it has a use for."""
        self._order(lambda: self._forget_session(session_id))

    def stats(self) -> EngineStats:
        """Return the figures of this moment, without waiting."""
        pool = self._cache.pool
        return EngineStats(
            heartbeat_age_s=(time.monotonic_ns() - self._heartbeat_ns) / 1e9,
            num_running=len(self._scheduler.running),
            num_waiting=len(self._scheduler.waiting),
            num_processed=self._num_processed,
            num_steps=self._num_steps,
            num_pages=self._num_pages,
            num_free_pages=pool.num_available,
            num_cached_tokens=self._cache.tree.num_nodes * self._page_size,
            num_preemptions=self._scheduler.num_preemptions,
            failure=self.failure,
        )

    def run_until_idle(self) -> None:
        """Run on the calling thread until nothing is left to do; for scripts and tests without a thread."""
        assert self._thread is None, "the engine runs on its own thread"
        while self._turn():
            pass

    def check(self) -> None:
        """Assert that every page, slot and lane is accounted for; from the engine's thread, or when idle."""
        self._cache.check([*self._scheduler.running, *self._scheduler.waiting])
        self._scheduler.check()

    # ---- the engine's thread ----

    def _run(self) -> None:
        try:
            while self._deadline_s is None or self._drains():
                if not self._turn():
                    self._wait()
            self._shut_down()
        except BaseException as error:  # whatever it is, nobody may be left waiting
            log.exception("the engine died")
            self.failure = f"the engine died: {type(error).__name__}: {error}"
            self._shut_down()

    def _turn(self) -> bool:
        """Obey orders and take one step; tell whether there was one to take."""
        self._heartbeat_ns = time.monotonic_ns()
        while self._orders:
            self._orders.popleft()()
        self._admit()
        plan = self._scheduler.plan()
        for position, sequence in enumerate(self._scheduler.places(), 1):
            self._tell(sequence, sequence.wait_at, position, len(self._scheduler.waiting))
        if plan:
            self._step(plan)
        if self._checks:
            self.check()
        return bool(plan)

    def _wait(self) -> None:
        with self._signal:
            if not self._orders:
                self._signal.wait(IDLE_WAIT_S if self._deadline_s is None else DRAIN_WAIT_S)

    def _admit(self) -> None:
        while (found := self._scheduler.next_offer()) is not None:
            sequence, offer = found
            try:
                self._scheduler.admit(sequence, offer)
            except Exception as error:
                self._fail(sequence, error)
                continue
            if not sequence.is_admitted:
                sequence.is_admitted = True
                self._tell(sequence, sequence.join, self._cache.note(sequence))

    def _step(self, plan: list[Scheduled]) -> None:
        step = self._scheduler.batch.assemble(plan)
        started_s = self._clock()
        try:
            logits = self._executable.step(step)
            expected = (step.output_rows.size, self._vocab_size)
            if logits.shape != expected:
                raise BackendError(
                    f"the backend returned logits of shape {logits.shape}, expected {expected}"
                )
            logits = logits[:, : self._intake.num_ids]
            pooled = any(isinstance(part.sequence, Pooling) for part in plan)
            hidden = self._executable.hidden() if pooled else None
        except Exception as error:
            self._isolate(plan, error)
            return
        self._num_steps += 1
        self._scheduler.observe(plan, self._clock() - started_s)
        row = 0
        for part in plan:
            stop = row + part.num_outputs
            self._deliver(part, logits[row:stop], None if hidden is None else hidden[row:stop])
            row = stop

    def _deliver(self, part: Scheduled, logits: F32, hidden: F32 | None) -> None:
        sequence = part.sequence
        try:
            if part.canvas is None:
                self._cache.advance(sequence, part.num_rows - sequence.num_guessed)
            if not part.num_outputs or sequence.is_cancelled:
                return
            sequence.is_suspect = False
            ending = sequence.receive(logits, hidden)
            if sequence.num_proven:
                self._cache.advance(sequence, sequence.num_proven)
        except Exception as error:
            self._fail(sequence, error)
            return
        if ending is not None:
            self._end(sequence, ending)

    def _isolate(self, plan: list[Scheduled], error: Exception) -> None:
        """Find whose fault a failed step was: its sequences are computed again, each alone, without guesses."""
        num_guessed = sum(part.sequence.num_guessed for part in plan)
        for part in plan:
            part.sequence.num_guessed = 0
        if len(plan) == 1 and not num_guessed:
            self._fail(plan[0].sequence, error)
            return
        log.warning("a step of %d sequences failed; they run alone now: %s", len(plan), error)
        for part in plan:
            part.sequence.is_suspect = True
            if self._cache.states is not None:  # a state may be half advanced; pages are simply written again
                self._scheduler.put_back(part.sequence, keep=False)

    # ---- endings ----

    def _end(self, sequence: Sequence, ending: Ending) -> None:
        self._scheduler.remove(sequence)
        self._cache.retire(sequence)
        self._leave(sequence)
        self._tell(sequence, sequence.end, ending)

    def _fail(self, sequence: Sequence, error: Exception) -> None:
        if not isinstance(error, JackfieldError):
            log.error("sequence %s failed", sequence.id, exc_info=error)
            kind = OutOfMemory if isinstance(error, MemoryError) else BackendError
            error = kind(f"computing failed: {type(error).__name__}; the server's log has the details")
        self._scheduler.remove(sequence)
        self._cache.release(sequence, keep=False)
        self._leave(sequence)
        self._tell(sequence, sequence.fail, error)

    def _leave(self, sequence: Sequence) -> None:
        self._num_processed += 1
        self._by_id.pop(sequence.id, None)

    def _tell(self, sequence: Sequence, say: Callable[[Unpack[A]], None], *arguments: *A) -> None:
        try:
            say(*arguments)
        except Exception:
            log.exception("the sink of sequence %s raised; it must not", sequence.id)

    def _drains(self) -> bool:
        """Fail what has not begun; tell whether to go on with what has."""
        assert self._deadline_s is not None
        for sequence in [each for each in self._scheduler.waiting if not each.is_admitted]:
            self._fail(sequence, self._stopping())
        return bool(len(self._by_id)) and time.monotonic() < self._deadline_s

    def _shut_down(self) -> None:
        """End whatever is left; once the engine is dead, its books are not to be trusted."""
        with self._signal:
            self._deadline_s = self._deadline_s or time.monotonic()
        while self._orders and not self.failure:
            self._orders.popleft()()
        for sequence in list(self._by_id.values()):
            if self.failure:
                self._leave(sequence)
                self._tell(sequence, sequence.fail, self._stopping())
            else:
                self._fail(sequence, self._stopping())

    def _stopping(self) -> Unavailable:
        return Unavailable(self.failure or "the engine is stopping", retry_after_s=RETRY_AFTER_S)

    # ---- orders ----

    def _enter(self, sequence: Sequence) -> None:
        with self._signal:
            if self._deadline_s is not None:
                raise self._stopping()
            if sequence.id in self._by_id:
                raise RequestError(
                    f"a sequence with id {sequence.id!r} is running; ids must be unique", param="id"
                )
            self._by_id[sequence.id] = sequence
            self._orders.append(lambda: self._scheduler.add(sequence))
            self._signal.notify()

    def _order(self, order: Callable[[], None]) -> None:
        with self._signal:
            self._orders.append(order)
            self._signal.notify()

    def _cancel(self, sequence: Sequence) -> None:
        if self._by_id.get(sequence.id) is sequence:
            self._end(sequence, Ending("cancelled"))

    def _set_paused(self, request_id: str, is_paused: bool) -> None:
        sequence = self._by_id.get(request_id)
        if sequence is not None:
            sequence.is_paused = is_paused

    def _forget_session(self, session_id: str) -> None:
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            if sequence.session_id == session_id:
                sequence.session_id = None
        self._cache.sessions.forget(session_id)
