"""Measure Jackfield: the engine with its scheduler and sampler, not the bare kernels."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from types import TracebackType

import numpy as np

from jackfield.backend import Backend, Executable, MachineRates, OpenProgress
from jackfield.bench.figures import BATCH_PROMPT, Figures, Workload
from jackfield.bench.traffic import decode_bytes
from jackfield.engine import Engine
from jackfield.engine.contract import SampledToken, SequenceRequest, SequenceStats
from jackfield.engine.drafting import MakeDrafter, PromptLookup
from jackfield.engine.loading import limits_for, load_model
from jackfield.errors import ConfigError, JackfieldError
from jackfield.host import Host
from jackfield.service.events import FinishReason
from jackfield.service.memory import resident_memory_bytes
from jackfield.service.requests import Sampling

__all__ = ["OurModel", "TokenTimes", "wait_for"]

WAIT_S = 600.0


class TokenTimes:
    """Notes when each token came."""

    def __init__(self) -> None:
        self.moments_s: list[float] = []
        self.stats = SequenceStats()
        self.done = threading.Event()
        self.error: JackfieldError | None = None

    @property
    def rate(self) -> float:
        """Tokens a second after the first."""
        return (len(self.moments_s) - 1) / (self.moments_s[-1] - self.moments_s[0])

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
        self.stats = stats
        self.done.set()

    def failed(self, error: JackfieldError) -> None:
        """Keep the error for the waiting thread."""
        self.error = error
        self.done.set()


class OurModel:
    """A model opened for measuring; a context manager.

    Attributes:
        loaded: The model, opened for the workload.
    """

    def __init__(
        self, path: str, backend: str, workload: Workload, progress: OpenProgress | None = None
    ) -> None:
        started_s = time.perf_counter()
        most = workload.most_streams
        self._host = Host()
        self.loaded = load_model(
            path,
            self._host,
            backend,
            lambda program: limits_for(
                program, workload.longest, num_sequences=most, num_threads=workload.threads
            ),
            progress,
        )
        program = self.loaded.program
        self._vocab_size = program.vocab_size
        self.backend = self.loaded.backend_name
        self.decode_bytes = decode_bytes(program, self.loaded.checkpoint.tensors)
        self._engine = self.start_engine(self.loaded.executable, workload)
        # the two share pages, which is well while only one of them runs and none keeps prefixes
        self._guessing = self.start_engine(self.loaded.executable, workload, PromptLookup)
        self._random = np.random.default_rng(0)
        self._ids = itertools.count()
        self._run(16, 2)
        self.load_s = time.perf_counter() - started_s

    def machine_rates(self, num_threads: int) -> MachineRates | None:
        """Return what the backend finds the machine can do; ``None`` where that does not bound it."""
        backend: Backend = self._host.backend(self.backend).make()
        return backend.measure(num_threads)

    def start_engine(
        self, executable: Executable, workload: Workload, make_drafter: MakeDrafter | None = None
    ) -> Engine:
        """Start one more engine on the model's executable, or on what stands for it; the caller's to stop."""
        program = self.loaded.program
        engine = Engine(
            executable,
            self.loaded.limits,
            vocab_size=program.vocab_size,
            context_length=workload.longest,
            is_recurrent=program.is_recurrent,
            diffusion=program.diffusion,
            make_drafter=make_drafter,
        )
        engine.start()
        return engine

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
                streams: self._run_together(streams, workload.decode_among(streams))
                for streams in workload.streams
            },
            context_tokens_per_s={
                length: self._run(length, workload.decode)[1] for length in workload.contexts
            },
            guessing=self._guess(workload) if workload.guess else {},
        )

    def _guess(self, workload: Workload) -> dict[str, float]:
        """Decode the same text plainly and with guesses."""
        prompt = self._random_prompt(workload.prefill)
        plain = self._submit(prompt, workload.decode, self._engine)
        wait_for(plain)
        guessed = self._submit(prompt, workload.decode, self._guessing)
        wait_for(guessed)
        return {
            "plain_tokens_per_s": plain.rate,
            "tokens_per_s": guessed.rate,
            "accepted": guessed.stats.num_accepted_draft_tokens,
            "rejected": guessed.stats.num_rejected_draft_tokens,
        }

    def _run(self, num_prompt: int, num_tokens: int) -> tuple[float, float]:
        """Return the seconds to the first token, and the tokens a second from there."""
        started_s = time.perf_counter()
        sink = self.submit(num_prompt, num_tokens, self._engine)
        wait_for(sink)
        return sink.moments_s[0] - started_s, sink.rate

    def _run_together(self, streams: int, num_tokens: int) -> float:
        """Return the tokens a second of all streams, while all of them decode."""
        sinks = [self.submit(BATCH_PROMPT, num_tokens, self._engine) for _ in range(streams)]
        for sink in sinks:
            wait_for(sink)
        start = max(sink.moments_s[0] for sink in sinks)
        stop = min(sink.moments_s[-1] for sink in sinks)
        if stop <= start:
            raise ConfigError(
                f"{streams} streams of {num_tokens} tokens never decoded all together; ask for more with --decode"
            )
        between = sum(start < moment <= stop for sink in sinks for moment in sink.moments_s)
        return between / (stop - start)

    def _random_prompt(self, num_tokens: int) -> list[int]:
        prompt: list[int] = self._random.integers(0, min(self._vocab_size, 1000), num_tokens).tolist()
        return prompt

    def submit(self, num_prompt: int, num_tokens: int, engine: Engine) -> TokenTimes:
        """Let an engine write ``num_tokens`` after a random prompt; ``wait_for`` waits for the end."""
        return self._submit(self._random_prompt(num_prompt), num_tokens, engine)

    def _submit(self, prompt: list[int], num_tokens: int, engine: Engine) -> TokenTimes:
        sink = TokenTimes()
        request = SequenceRequest(
            id=f"bench-{next(self._ids)}",
            prompt=prompt,
            sampling=Sampling(max_tokens=num_tokens, ignore_eos=True),
            max_tokens=num_tokens,
            eog=frozenset(),
            sink=sink,
            use_cache=False,
        )
        engine.submit(request)
        return sink

    def __enter__(self) -> OurModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.stop()
        self._guessing.stop()
        self.loaded.close()


def wait_for(sink: TokenTimes) -> None:
    """Wait until a sequence has ended; raises its error."""
    if not sink.done.wait(WAIT_S):
        raise JackfieldError(f"a measured sequence did not end within {WAIT_S:.0f} s")
    if sink.error is not None:
        raise sink.error
