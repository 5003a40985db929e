"""What the engine takes and gives: token ids. Text is the business of ``jackfield.service``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from jackfield.errors import JackfieldError
from jackfield.service.events import FinishReason
from jackfield.service.requests import Sampling

__all__ = [
    "CacheExpectation",
    "EngineStats",
    "PoolingKind",
    "SampledToken",
    "SequenceRequest",
    "SequenceSink",
    "SequenceStats",
    "TokenMask",
]


PoolingKind = Literal["mean", "first", "last"]
"""Which hidden rows of a text become its vector."""


@dataclass(frozen=True)
class SampledToken:
    """One picked token; ``top`` holds ``(id, logprob)`` of the best alternatives when asked for."""

    id: int
    logprob: float | None = None
    top: Sequence[tuple[int, float]] = ()


@dataclass
class SequenceStats:
    """Counts and moments of one sequence (``time.monotonic_ns``); filled in by the engine."""

    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_completion_tokens: int = 0
    num_accepted_draft_tokens: int = 0
    num_rejected_draft_tokens: int = 0
    submitted_ns: int = 0
    admitted_ns: int = 0
    first_token_ns: int = 0
    finished_ns: int = 0


class TokenMask(Protocol):
    """A grammar at work on one sequence.

    For each token: ``bitmask``, a pick among what it allows, ``admits`` until one is admitted, ``accept``. Only
    ``accept`` moves on, so several tokens of one step (a draft that is verified) are taken by going through
    this once for each, and the rest is simply not accepted. A mask never has to be taken back.
    """

    def bitmask(self) -> npt.NDArray[np.uint32] | None:
        """Return ``[ceil(V / 32)]`` bits of the tokens allowed next; ``None`` when all are.

        At least one bit is set. Asked again before ``accept`` it returns the same, less what ``admits`` refused.
        """
        ...

    def admits(self, token_id: int) -> bool:
        """Tell whether a token that ``bitmask`` allows may stand; after ``False``, pick again.

        It is refused when the answer could not be completed after it within its limit. Few refusals are enough
        for ``bitmask`` to narrow to what is admitted.
        """
        ...

    def accept(self, token_id: int) -> None:
        """Advance by a token that became part of the text; one that ends it is not told."""
        ...


class SequenceSink(Protocol):
    """Where a sequence's results go. Called from the engine's thread: return quickly, never raise."""

    def waiting(self, position: int, pending: int) -> None:
        """The sequence is queued at ``position`` (from 1) of ``pending``; called on every change."""
        ...

    def admitted(self, stats: SequenceStats, cache_note: str) -> None:
        """The sequence has its pages and joins the batch."""
        ...

    def token(self, token: SampledToken) -> FinishReason | None:
        """Take a token (end-of-generation tokens are not passed); return a reason to finish here."""
        ...

    def canvas(self, token_ids: Sequence[int], step: int, num_steps: int) -> None:
        """See what a diffusion model's block looks like after a pass; ``num_steps`` is the most there can be."""
        ...

    def block(self, token_ids: Sequence[int]) -> FinishReason | None:
        """Take a finished block of a diffusion model, up to its end; return a reason to finish here."""
        ...

    def finished(self, reason: FinishReason, stats: SequenceStats, eog_token: int | None) -> None:
        """The sequence is over; ``eog_token`` is the one that ended it, if one did."""
        ...

    def failed(self, error: JackfieldError) -> None:
        """The sequence ends with an error."""
        ...


@dataclass(frozen=True)
class SequenceRequest:
    """One sequence to run.

    Attributes:
        prompt: Token ids, each checked to be in the vocabulary; at least one.
        max_tokens: Most tokens to pick, already clamped to the context.
        eog: Ids that end the sequence.
        suppressed: Ids never picked.
        cache_salt: Pages are shared only between equal salts.
        use_cache: Look for a cached prefix; ``False`` computes all and reports 0.
        mask: Grammar, or ``None``.
        priority_key: Fairness is between these.
        session_id: Keeps its prefix from eviction longer than anonymous ones.
        on_prompt: Given the prompt's tokens from the second on, with their log-probabilities, once it is
            computed. Setting it makes every row of the prompt be computed; ``max_tokens`` may be 0 then.
    """

    id: str
    prompt: Sequence[int]
    sampling: Sampling
    max_tokens: int
    eog: frozenset[int]
    sink: SequenceSink
    suppressed: frozenset[int] = frozenset()
    cache_salt: str = ""
    use_cache: bool = True
    mask: TokenMask | None = None
    priority_key: str = ""
    session_id: str | None = None
    on_prompt: Callable[[Sequence[SampledToken]], None] | None = None


@dataclass(frozen=True)
class CacheExpectation:
    """What the cache would give a prompt now; ``note`` says why it is less than its session held."""

    num_cached_tokens: int
    note: str = ""


@dataclass(frozen=True)
class EngineStats:
    """A moment of the engine.

    Attributes:
        heartbeat_age_s: Seconds since its thread last showed that it is alive.
        num_processed: Sequences that reached an end.
        num_pages: Pages in all; ``num_free_pages`` can be had, by eviction if need be.
        num_cached_tokens: Tokens that the prefix tree has room for in the pages it keeps.
        num_preemptions: Times a sequence had to give way and was computed again.
        failure: Why the engine is dead, one sentence; empty while it lives.
    """

    heartbeat_age_s: float
    num_running: int
    num_waiting: int
    num_processed: int
    num_steps: int
    num_pages: int
    num_free_pages: int
    num_cached_tokens: int
    num_preemptions: int
    failure: str = ""
