"""Engines on a double, and a sink that writes down what it hears.

engine, double = make_engine(num_pages=64)
sink = Recorder()
engine.submit(ask("a", [1, 2, 3], sink))
engine.run_until_idle()
assert sink.tokens == expected_greedy([1, 2, 3], 16, VOCAB_SIZE, EOG)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jackfield.backend import Limits
from jackfield.engine import Engine, SampledToken, SequenceRequest, SequenceStats
from jackfield.errors import JackfieldError
from jackfield.service.events import FinishReason
from jackfield.service.requests import Sampling
from jackfield.testing.paged_double import PagedDouble, expected_greedy

__all__ = ["ENDLESS", "EOG", "VOCAB_SIZE", "Recorder", "ask", "greedy", "make_engine"]

VOCAB_SIZE = 64
EOG = frozenset({0})
ENDLESS: frozenset[int] = frozenset()
"""No token ends the answer."""


@dataclass
class Recorder:
    """A sink that keeps everything; ``on_token`` may answer with a reason to finish, or raise."""

    on_token: Callable[[SampledToken], FinishReason | None] | None = None
    places: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    picked: list[SampledToken] = field(default_factory=list[SampledToken])
    stats: SequenceStats | None = None
    note: str | None = None
    reason: FinishReason | None = None
    eog_token: int | None = None
    error: JackfieldError | None = None
    previews: list[tuple[list[int], int, int]] = field(default_factory=list[tuple[list[int], int, int]])
    blocks: list[list[int]] = field(default_factory=list[list[int]])
    num_endings: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def tokens(self) -> list[int]:
        """The ids that were passed."""
        return [token.id for token in self.picked]

    @property
    def num_cached(self) -> int:
        """Cached tokens, as told on admission."""
        assert self.stats is not None, "the sequence was not admitted"
        return self.stats.num_cached_tokens

    def waiting(self, position: int, pending: int) -> None:
        """Note the place."""
        assert self.note is None, "told to wait after it was admitted"
        self.places.append((position, pending))

    def admitted(self, stats: SequenceStats, cache_note: str) -> None:
        """Note the admission."""
        assert self.note is None, "admitted twice"
        self.stats, self.note = stats, cache_note

    def token(self, token: SampledToken) -> FinishReason | None:
        """Note the token."""
        assert not self.num_endings, "a token after the end"
        assert self.note is not None, "a token before admission"
        self.picked.append(token)
        return self.on_token(token) if self.on_token is not None else None

    def canvas(self, token_ids: Sequence[int], step: int, num_steps: int) -> None:
        """Note what a block looks like."""
        assert not self.num_endings, "a preview after the end"
        assert self.note is not None, "a preview before admission"
        self.previews.append((list(token_ids), step, num_steps))

    def block(self, token_ids: Sequence[int]) -> FinishReason | None:
        """Note the block, and its tokens up to one that ends the answer."""
        self.blocks.append(list(token_ids))
        return next(
            (reason for id in token_ids if (reason := self.token(SampledToken(id))) is not None), None
        )

    def finished(self, reason: FinishReason, stats: SequenceStats, eog_token: int | None) -> None:
        """Note the end."""
        self.reason, self.stats, self.eog_token = reason, stats, eog_token
        self._end()

    def failed(self, error: JackfieldError) -> None:
        """Note the error."""
        self.error = error
        self._end()

    def _end(self) -> None:
        self.num_endings += 1
        assert self.num_endings == 1, "ended twice"
        self.over.set()


def ask(
    id: str,
    prompt: Sequence[int],
    sink: Recorder,
    *,
    max_tokens: int = 16,
    sampling: Sampling | None = None,
    eog: frozenset[int] = EOG,
    **more: Any,
) -> SequenceRequest:
    """Return a request; greedy unless ``sampling`` says otherwise."""
    return SequenceRequest(id, list(prompt), sampling or Sampling(), max_tokens, eog, sink, **more)


def greedy(
    prompt: list[int], count: int, eog: frozenset[int] = ENDLESS, *, recurrent: bool = False
) -> list[int]:
    """Return the tokens that a greedy request is to get."""
    return expected_greedy(prompt, count, VOCAB_SIZE, eog, is_recurrent=recurrent)


def make_engine(
    *,
    num_pages: int = 64,
    page_size: int = 16,
    max_rows: int = 64,
    max_outputs: int = 16,
    max_sequences: int = 4,
    max_context: int = 512,
    num_state_slots: int = 0,
    bad_tokens: Sequence[int] = (),
    fatal_tokens: Sequence[int] = (),
    **engine: Any,
) -> tuple[Engine, PagedDouble]:
    """Return an engine that checks its books after every step and poisons freed pages, and its double."""
    limits = Limits(
        num_pages=num_pages,
        page_size=page_size,
        max_rows=max_rows,
        max_outputs=max_outputs,
        max_sequences=max_sequences,
        max_context=max_context,
        num_state_slots=num_state_slots,
    )
    double = PagedDouble(
        limits,
        VOCAB_SIZE,
        is_recurrent=num_state_slots > 0,
        bad_tokens=bad_tokens,
        fatal_tokens=fatal_tokens,
    )
    settings: dict[str, Any] = {
        "vocab_size": VOCAB_SIZE,
        "context_length": max_context,
        "is_recurrent": num_state_slots > 0,
        "check_invariants": True,
        "on_free_page": double.poison,
    }
    return Engine(double, limits, **{**settings, **engine}), double
