"""What a measurement says, and the medians of several."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["BATCH_PROMPT", "Figures", "Workload", "median_figures"]


BATCH_PROMPT = 32
"""Tokens of each prompt when several sequences decode together."""


@dataclass(frozen=True)
class Workload:
    """What is measured.

    Attributes:
        prefill: Tokens of the prompt.
        decode: Tokens generated after it.
        streams: Numbers of sequences to decode together.
        contexts: Lengths at which single-stream decoding is measured as well.
        threads: Threads to compute with.
    """

    prefill: int = 512
    decode: int = 64
    streams: tuple[int, ...] = ()
    contexts: tuple[int, ...] = ()
    threads: int = 1

    @property
    def longest(self) -> int:
        """Tokens the longest sequence will have."""
        return max((self.prefill, BATCH_PROMPT, *self.contexts)) + self.decode + 1

    @property
    def most_streams(self) -> int:
        """Sequences that run at once."""
        return max((1, *self.streams))


@dataclass(frozen=True)
class Figures:
    """One run. Rates are tokens a second; ``None`` is what was not measured."""

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    time_to_first_token_s: float
    load_s: float
    resident_bytes: int
    batch_tokens_per_s: dict[int, float] = field(default_factory=dict[int, float])
    context_tokens_per_s: dict[int, float] = field(default_factory=dict[int, float])

    def as_json(self) -> dict[str, Any]:
        """Return plain values; keys of the inner tables become texts."""
        values = asdict(self)
        for name in TABLES:
            values[name] = {str(key): rate for key, rate in values[name].items()}
        return values


TABLES = ("batch_tokens_per_s", "context_tokens_per_s")


def median_figures(runs: Sequence[Figures]) -> Figures:
    """Return the median of each figure over several runs."""
    values: dict[str, Any] = {}
    for item in fields(Figures):
        found: list[Any] = [getattr(run, item.name) for run in runs]
        if item.name in TABLES:
            values[item.name] = {key: statistics.median(one[key] for one in found) for key in found[0]}
        else:
            values[item.name] = statistics.median(found)
    return Figures(**values)
