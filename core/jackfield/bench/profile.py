"""Where a step's time goes.

Ordinary steps of the real engine say how much of the time is the backend's, how much goes to picking tokens and how
much to everything else that is Python. Then the same is run call by call: that says what the backend's part is made of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from jackfield.backend import TimesCalls, WeightSource
from jackfield.bench.figures import BATCH_PROMPT, Workload
from jackfield.bench.observed import ObservedExecutable, ObservedStep
from jackfield.bench.ours import OurModel, wait_for
from jackfield.bench.parts import Part, parts_of
from jackfield.errors import ConfigError

__all__ = ["WHOLE", "Profile", "check_picks_tokens", "profile"]

NUM_RUNS = 3
WHOLE = "the whole step"


@dataclass(frozen=True)
class Profile:
    """Medians over steps, or over prompts.

    Attributes:
        phase: What was done: ``prefill``, ``decode`` or ``8 streams``.
        rows: Tokens that were computed.
        step_s: From the end of a step to the end of the next; for a prompt, from its submission to its first token.
        native_s: Of this, in the backend's calls.
        sampling_s: From logits to tokens, handing them over included.
        python_s: The rest: scheduler, tables, entering native code.
        by_call_s: What the backend's calls take when each is timed: all parts together.
        parts: What they are, longest first; one for all of them if the backend does not time its calls.
    """

    phase: str
    rows: int
    step_s: float
    native_s: float
    sampling_s: float
    python_s: float
    by_call_s: float
    parts: tuple[Part, ...]

    def share(self, part: Part) -> float:
        """Return a part's share of an ordinary step."""
        return part.seconds / self.by_call_s * self.native_s / self.step_s

    def as_json(self) -> dict[str, Any]:
        """Return plain values, with shares of the step and rates."""
        values: dict[str, Any] = asdict(self)
        for name in ("native", "sampling", "python"):
            values[f"{name}_share"] = values[f"{name}_s"] / self.step_s
        values["parts"] = [
            {
                "what": part.what,
                "seconds": part.seconds,
                "share": self.share(part),
                "calls": part.num_calls,
                "read_bytes_per_s": part.rate(part.read_bytes),
                "ops_per_s": part.rate(part.operations),
            }
            for part in self.parts
        ]
        return values


@dataclass(frozen=True)
class _Sample:
    """One prompt, or one step."""

    step_s: float
    backend_s: float
    sampling_s: float
    steps: Sequence[ObservedStep]


@dataclass(frozen=True)
class _Run:
    """What was noted from the submission of some sequences to their end; ``moments_s`` are those of their tokens."""

    submitted_s: float
    moments_s: Sequence[float]
    steps: Sequence[ObservedStep]

    def prompt(self) -> _Sample:
        """Return everything up to the first token."""
        first_s = self.moments_s[0]
        steps = [step for step in self.steps if step.stopped_s <= first_s]
        backend_s = sum(step.stopped_s - step.started_s for step in steps)
        return _Sample(first_s - self.submitted_s, backend_s, first_s - steps[-1].stopped_s, steps)

    def decoding(self, streams: int) -> Iterator[_Sample]:
        """Yield the steps in which all streams decode, but for the first of them."""
        for before, step in pairwise(self.steps):
            if {before.num_rows, before.num_outputs, step.num_rows, step.num_outputs} != {streams}:
                continue
            last_s = max(moment for moment in self.moments_s if moment <= step.started_s)
            yield _Sample(
                step.stopped_s - before.stopped_s,
                step.stopped_s - step.started_s,
                last_s - before.stopped_s,
                [step],
            )


def check_picks_tokens(model: OurModel) -> None:
    """Raise ``ConfigError`` for a model whose steps are not prompts and tokens: it cannot be profiled."""
    if model.loaded.program.diffusion is not None:
        raise ConfigError("--profile is for models that pick token by token; this one refines whole blocks")


def profile(model: OurModel, workload: Workload) -> list[Profile]:
    """Profile a prompt, decoding after it, and decoding of each number of streams."""
    executable, tensors = model.loaded.executable, model.loaded.checkpoint.tensors
    observed = ObservedExecutable(executable)
    samples: dict[str, dict[bool, list[_Sample]]] = {}
    for _ in range(NUM_RUNS):
        for by_call in [False, True] if isinstance(executable, TimesCalls) else [False]:
            observed.is_by_call = by_call
            for phase, found in _measure(model, observed, workload):
                samples.setdefault(phase, {False: [], True: []})[by_call].extend(found)
    return [_combine(phase, found[False], found[True], tensors) for phase, found in samples.items()]


def _measure(
    model: OurModel, observed: ObservedExecutable, workload: Workload
) -> Iterator[tuple[str, list[_Sample]]]:
    run = _run(model, observed, workload, 1, workload.prefill)
    yield "prefill", [run.prompt()]
    yield "decode", list(run.decoding(1))
    for streams in workload.streams:
        run = _run(model, observed, workload, streams, BATCH_PROMPT)
        yield f"{streams} streams", list(run.decoding(streams))


def _run(
    model: OurModel, observed: ObservedExecutable, workload: Workload, streams: int, num_prompt: int
) -> _Run:
    """Run sequences on an engine of their own: it knows no step times yet, so it cuts prompts the same each time."""
    engine = model.start_engine(observed, workload)
    observed.steps = []
    submitted_s = time.perf_counter()
    try:
        num_tokens = workload.decode_among(streams)
        sinks = [model.submit(num_prompt, num_tokens, engine) for _ in range(streams)]
        for sink in sinks:
            wait_for(sink)
    finally:
        engine.stop()
    return _Run(submitted_s, sorted(moment for sink in sinks for moment in sink.moments_s), observed.steps)


def _combine(
    phase: str, plain: Sequence[_Sample], by_call: Sequence[_Sample], weights: WeightSource
) -> Profile:
    own_s = median(sum(step.own_s for step in sample.steps) for sample in by_call) if by_call else 0.0
    native_s = median(sample.backend_s for sample in plain) - own_s
    tables = [parts_of(sample.steps, weights) for sample in by_call] or [{WHOLE: Part(WHOLE, native_s)}]
    parts = [_median_part([table[what] for table in tables if what in table]) for what in tables[0]]
    return Profile(
        phase,
        rows=sum(step.num_rows for step in plain[0].steps),
        step_s=median(sample.step_s for sample in plain),
        native_s=native_s,
        sampling_s=median(sample.sampling_s for sample in plain),
        python_s=median(sample.step_s - sample.backend_s - sample.sampling_s for sample in plain) + own_s,
        by_call_s=sum(part.seconds for part in parts),
        parts=tuple(sorted(parts, key=lambda part: part.seconds, reverse=True)),
    )


def _median_part(parts: Sequence[Part]) -> Part:
    return sorted(parts, key=lambda part: part.seconds)[len(parts) // 2]
