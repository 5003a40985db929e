"""What a measurement says, and the medians of several."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["BATCH_PROMPT", "Figures", "Workload", "median_figures"]


BATCH_PROMPT = 32
"""Tokens of each prompt when several sequences decode together."""
STEPS_A_PROMPT = 4
"""Steps that such a prompt may take beside sequences that decode: the engine cuts it, so that they need not wait."""


@dataclass(frozen=True)
class Workload:
    """What is measured.

    Attributes:
        prefill: Tokens of the prompt.
        decode: Tokens generated after it.
        streams: Numbers of sequences to decode together.
        contexts: Lengths at which single-stream decoding is measured as well.
        threads: Threads to compute with.
        guess: Whether to measure decoding with guesses as well.
        busy: Processes that use a core each while prefill and decoding are measured once more.
    """

    prefill: int = 512
    decode: int = 64
    streams: tuple[int, ...] = ()
    contexts: tuple[int, ...] = ()
    threads: int = 1
    guess: bool = False
    busy: int = 0

    @property
    def longest(self) -> int:
        """Tokens the longest sequence will have."""
        alone = max((self.prefill, *self.contexts)) + self.decode
        return max(alone, BATCH_PROMPT + self.decode_among(self.most_streams)) + 1

    def decode_among(self, streams: int) -> int:
        """Tokens that each of several streams generates, so that ``decode`` of them come while all streams decode."""
        return self.decode + STEPS_A_PROMPT * (streams - 1)

    @property
    def most_streams(self) -> int:
        """Sequences that run at once."""
        return max((1, *self.streams))


@dataclass(frozen=True)
class Figures:
    """One run. Rates are tokens a second; a table is empty where nothing was measured.

    Attributes:
        batch_tokens_per_s: By the number of streams, all together.
        context_tokens_per_s: By the tokens of context.
        guessing: One more stream, decoded without (``plain_tokens_per_s``) and with guesses (``tokens_per_s``),
            and how many of them were ``accepted`` and ``rejected``.
        busy: ``prefill_tokens_per_s`` and ``decode_tokens_per_s`` beside busy processes.
    """

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    time_to_first_token_s: float
    load_s: float
    resident_bytes: int
    batch_tokens_per_s: dict[int, float] = field(default_factory=dict[int, float])
    context_tokens_per_s: dict[int, float] = field(default_factory=dict[int, float])
    guessing: dict[str, float] = field(default_factory=dict[str, float])
    busy: dict[str, float] = field(default_factory=dict[str, float])

    def as_json(self) -> dict[str, Any]:
        """Return plain values; keys of the inner tables become texts."""
        values = asdict(self)
        for name in TABLES:
            values[name] = {str(key): rate for key, rate in values[name].items()}
        return values


TABLES = ("batch_tokens_per_s", "context_tokens_per_s", "guessing", "busy")


def median_figures(runs: Sequence[Figures]) -> Figures:
    """Return the median of each figure over several runs."""
    values: dict[str, Any] = {}
    for item in fields(Figures):
        found: list[Any] = [getattr(run, item.name) for run in runs]
        if item.name in TABLES:
            keys = [key for key in found[0] if all(key in one for one in found)]
            values[item.name] = {key: statistics.median(one[key] for one in found) for key in keys}
        else:
            values[item.name] = statistics.median(found)
    return Figures(**values)
