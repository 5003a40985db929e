"""Measure Jackfield: the engine with its scheduler and sampler, not the bare kernels."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from types import TracebackType

import numpy as np

from jackfield.backend import OpenProgress
from jackfield.bench.figures import BATCH_PROMPT, Figures, Workload
from jackfield.engine import Engine
from jackfield.engine.contract import SampledToken, SequenceRequest, SequenceStats
from jackfield.engine.loading import limits_for, load_model
from jackfield.errors import JackfieldError
from jackfield.host import Host
from jackfield.service.events import FinishReason
from jackfield.service.memory import resident_memory_bytes
from jackfield.service.requests import Sampling

__all__ = ["OurModel"]

WAIT_S = 600.0


class _Sink:
    """Notes when each token came."""

    def __init__(self) -> None:
        self.moments_s: list[float] = []
        self.done = threading.Event()
        self.error: JackfieldError | None = None

    def waiting(self, position: int, pending: int) -> None:
        """Queued: nothing to note."""

    def admitted(self, stats: SequenceStats, cache_note: str) -> None:
        """Admitted: nothing to note."""

    def token(self, token: SampledToken) -> FinishReason | None:
        """Note the moment."""
        self.moments_s.append(time.perf_counter())
        return None

    def canvas(self, token_ids: Sequence[int], step: int, num_steps: int) -> None:
        """Pass over what is not final."""

    def block(self, token_ids: Sequence[int]) -> FinishReason | None:
        """Note when the block came, once for each token."""
        for _ in token_ids:
            self.moments_s.append(time.perf_counter())
        return None

    def finished(self, reason: FinishReason, stats: SequenceStats, eog_token: int | None) -> None:
        """Let the waiting thread go on."""
        self.done.set()

    def failed(self, error: JackfieldError) -> None:
        """Keep the error for the waiting thread."""
        self.error = error
        self.done.set()


class OurModel:
    """A model opened for measuring; a context manager."""

    def __init__(
        self, path: str, backend: str, workload: Workload, progress: OpenProgress | None = None
    ) -> None:
        started_s = time.perf_counter()
        most = workload.most_streams
        self._loaded = load_model(
            path,
            Host(),
            backend,
            lambda program: limits_for(
                program, workload.longest, num_sequences=most, num_threads=workload.threads
            ),
            progress,
        )
        program = self._loaded.program
        self._vocab_size = program.vocab_size
        self.backend = self._loaded.backend_name
        self._engine = Engine(
            self._loaded.executable,
            self._loaded.limits,
            vocab_size=program.vocab_size,
            context_length=workload.longest,
            is_recurrent=program.is_recurrent,
            diffusion=program.diffusion,
        )
        self._engine.start()
        self._random = np.random.default_rng(0)
        self._ids = itertools.count()
        self._run(16, 2)
        self.load_s = time.perf_counter() - started_s

    def measure(self, workload: Workload) -> Figures:
        """Run the workload once."""
        first_s, rate = self._run(workload.prefill, workload.decode)
        return Figures(
            prefill_tokens_per_s=workload.prefill / first_s,
            decode_tokens_per_s=rate,
            time_to_first_token_s=first_s,
            load_s=self.load_s,
            resident_bytes=resident_memory_bytes() or 0,
            batch_tokens_per_s={
                streams: self._run_together(streams, workload.decode) for streams in workload.streams
            },
            context_tokens_per_s={
                length: self._run(length, workload.decode)[1] for length in workload.contexts
            },
        )

    def _run(self, num_prompt: int, num_tokens: int) -> tuple[float, float]:
        """Return the seconds to the first token, and the tokens a second from there."""
        started_s = time.perf_counter()
        sink = self._submit(num_prompt, num_tokens)
        _wait(sink)
        moments = sink.moments_s
        return moments[0] - started_s, (len(moments) - 1) / (moments[-1] - moments[0])

    def _run_together(self, streams: int, num_tokens: int) -> float:
        """Return the tokens a second of all streams, while all of them decode."""
        sinks = [self._submit(BATCH_PROMPT, num_tokens) for _ in range(streams)]
        for sink in sinks:
            _wait(sink)
        start = max(sink.moments_s[0] for sink in sinks)
        stop = min(sink.moments_s[-1] for sink in sinks)
        between = sum(start < moment <= stop for sink in sinks for moment in sink.moments_s)
        return between / (stop - start)

    def _submit(self, num_prompt: int, num_tokens: int) -> _Sink:
        sink = _Sink()
        prompt = self._random.integers(0, min(self._vocab_size, 1000), num_prompt)
        request = SequenceRequest(
            id=f"bench-{next(self._ids)}",
            prompt=prompt.tolist(),
            sampling=Sampling(max_tokens=num_tokens, ignore_eos=True),
            max_tokens=num_tokens,
            eog=frozenset(),
            sink=sink,
            use_cache=False,
        )
        self._engine.submit(request)
        return sink

    def __enter__(self) -> OurModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.stop()
        self._loaded.checkpoint.close()


def _wait(sink: _Sink) -> None:
    if not sink.done.wait(WAIT_S):
        raise JackfieldError(f"a measured sequence did not end within {WAIT_S:.0f} s")
    if sink.error is not None:
        raise sink.error
