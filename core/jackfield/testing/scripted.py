"""A model without a model: an engine that follows a script, with the text of ``byte_text``.

For tests of whatever surrounds an engine. Everything answers at once and every answer is known beforehand.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from jackfield.engine.contract import (
    CacheExpectation,
    EngineStats,
    PoolingKind,
    SampledToken,
    SequenceRequest,
    SequenceStats,
)
from jackfield.errors import Unavailable
from jackfield.service.events import FinishReason
from jackfield.service.hosting import HostedModel
from jackfield.service.status import ModelInfo
from jackfield.testing.byte_text import ByteTemplate, ByteTokenizer, TagFormat

__all__ = ["Script", "ScriptedEngine", "scripted_model"]

Script = Callable[[SequenceRequest], Iterable[int]]


@dataclass
class _Run:
    request: SequenceRequest
    stats: SequenceStats
    is_cancelled: bool = False
    may_go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_go.set()


@dataclass
class ScriptedEngine:
    """Runs each sequence on a thread of its own; the script says which tokens it picks.

    A token of -1 in a script raises an error there; masks and limits are obeyed.

    Attributes:
        script: Called with each request.
        delay_s: Pause before each token.
        requests: Every request there was.
    """

    script: Script
    delay_s: float = 0.0
    requests: list[SequenceRequest] = field(default_factory=list[SequenceRequest])
    forgotten: list[str] = field(default_factory=list[str])
    _cached: list[list[int]] = field(default_factory=list[list[int]])
    _runs: dict[str, _Run] = field(default_factory=dict[str, _Run])
    _is_stopped: bool = False

    def start(self) -> None:
        """Begin, or begin again."""
        self._is_stopped = False

    def stop(self) -> None:
        """End every sequence."""
        self._is_stopped = True
        for run in list(self._runs.values()):
            run.is_cancelled = True

    def submit(self, request: SequenceRequest) -> None:
        """Run a sequence."""
        if self._is_stopped:
            raise Unavailable("the engine has stopped")
        run = _Run(request, SequenceStats(submitted_ns=time.monotonic_ns()))
        run.stats.num_prompt_tokens = len(request.prompt)
        self.requests.append(request)
        self._runs[request.id] = run
        threading.Thread(target=self._run, args=(run,), daemon=True).start()

    def cancel(self, request_id: str) -> None:
        """End a sequence."""
        run = self._runs.get(request_id)
        if run is not None:
            run.is_cancelled = True

    def pause(self, request_id: str) -> None:
        """Hold a sequence."""
        run = self._runs.get(request_id)
        if run is not None:
            run.may_go.clear()

    def resume(self, request_id: str) -> None:
        """Let it go on."""
        run = self._runs.get(request_id)
        if run is not None:
            run.may_go.set()

    def embed(
        self, tokens: Sequence[int], *, pooling: PoolingKind = "mean", priority_key: str = ""
    ) -> Future[npt.NDArray[np.float32]]:
        """Return a vector that only tells the number of tokens."""
        future: Future[npt.NDArray[np.float32]] = Future()
        future.set_result(np.array([len(tokens)], np.float32))
        return future

    def expect(
        self, tokens: Sequence[int], *, cache_salt: str = "", session_id: str | None = None
    ) -> Future[CacheExpectation]:
        """Return the longest prefix that any earlier sequence shares."""
        future: Future[CacheExpectation] = Future()
        future.set_result(CacheExpectation(self._num_cached(tokens)))
        return future

    def forget_session(self, session_id: str) -> None:
        """Take a note of it."""
        self.forgotten.append(session_id)

    def stats(self) -> EngineStats:
        """Return how many sequences run."""
        return EngineStats(
            heartbeat_age_s=0.0,
            num_running=len(self._runs),
            num_waiting=0,
            num_processed=len(self.requests) - len(self._runs),
            num_steps=0,
            num_pages=0,
            num_free_pages=0,
            num_cached_tokens=0,
            num_preemptions=0,
        )

    def _run(self, run: _Run) -> None:
        request, sink = run.request, run.request.sink
        run.stats.admitted_ns = time.monotonic_ns()
        run.stats.num_cached_tokens = self._num_cached(request.prompt) if request.use_cache else 0
        sink.admitted(run.stats, "")
        try:
            reason, eog = self._pick(run)
        except ValueError as error:
            sink.failed(Unavailable(str(error)))
            return
        finally:
            del self._runs[request.id]
        run.stats.finished_ns = time.monotonic_ns()
        sink.finished(reason, run.stats, eog)

    def _pick(self, run: _Run) -> tuple[FinishReason, int | None]:
        request, tokens = run.request, list(run.request.prompt)
        self._cached.append(tokens)
        if request.on_prompt is not None:
            request.on_prompt([SampledToken(token, -1.0) for token in tokens[1:]])
        if request.max_tokens == 0:
            return "length", None
        for wanted in self.script(request):
            if self.delay_s:
                time.sleep(self.delay_s)
            while not run.may_go.wait(0.05) and not run.is_cancelled:
                continue
            if run.is_cancelled:
                return "cancelled", None
            token = self._allowed(request, wanted)
            if token in request.eog:
                return "stop", token
            tokens.append(token)
            run.stats.num_completion_tokens += 1
            run.stats.first_token_ns = run.stats.first_token_ns or time.monotonic_ns()
            has_logprobs = request.sampling.top_logprobs is not None
            reason = request.sink.token(SampledToken(token, -0.5 if has_logprobs else None))
            if reason is not None:
                return reason, None
            if run.stats.num_completion_tokens >= request.max_tokens:
                return "length", None
        return "stop", None

    def _allowed(self, request: SequenceRequest, token: int) -> int:
        """Return the script's token, or the first the mask allows instead."""
        if token < 0:
            raise ValueError("the script says so")
        if request.mask is None:
            return token
        while not _allows(bits := request.mask.bitmask(), token) or not request.mask.admits(token):
            assert bits is not None
            token = next(i for i in range(32 * len(bits)) if _allows(bits, i) and i != token)
        request.mask.accept(token)
        return token

    def _num_cached(self, prompt: Sequence[int]) -> int:
        """Return the longest prefix that any earlier sequence shares."""
        return max((_common(prompt, tokens) for tokens in self._cached), default=0)


def _allows(bits: npt.NDArray[np.uint32] | None, token: int) -> bool:
    return bits is None or bool(bits[token // 32] >> np.uint32(token % 32) & np.uint32(1))


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))


def scripted_model(engine: ScriptedEngine, *, file: str = "scripted.gguf", context: int = 512) -> HostedModel:
    """Return a hosted model around a scripted engine."""
    info = ModelInfo(
        file=file,
        name=file.removesuffix(".gguf"),
        architecture="scripted",
        size_bytes=0,
        modified_unix_s=0.0,
        digest="0" * 64,
        context_length=context,
        trained_context_length=context,
        embedding_length=1,
        num_parameters=0,
        quantization="F32",
        vocab_size=ByteTokenizer().vocab_size,
        backend="scripted",
        chat_template="",
        chat_format="tag",
        capabilities=["completion", "thinking", "insert"],
        metadata={},
        tensors=[],
    )
    return HostedModel(info, ByteTokenizer(), TagFormat(), ByteTemplate(), engine, lambda: None)
