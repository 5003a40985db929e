"""A sequence while the engine has it: its tokens, and what of the backend's memory is its own.

Dimension letters: R output rows of this sequence in a step, V vocabulary, D model width.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jackfield.engine.canvas import Canvas
from jackfield.engine.contract import PoolingKind, SampledToken, SequenceRequest, SequenceStats
from jackfield.engine.prefix import Node
from jackfield.engine.sampling import Sampler
from jackfield.engine.speculation import Price, Speculation
from jackfield.errors import JackfieldError, NumericalError
from jackfield.service.events import FinishReason

__all__ = ["Answer", "Ending", "Generation", "Pooling", "Sequence"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
NO_TOKEN = -1


@dataclass(frozen=True)
class Ending:
    """How a sequence ends; ``eog_token`` is the one that ended it, if one did."""

    reason: FinishReason
    eog_token: int | None = None


class Sequence(ABC):
    """Tokens, and what of the backend's memory belongs to them.

    Attributes:
        tokens: Room for every token the sequence may ever have; ``num_tokens`` are known.
        num_computed: How many of them the pages (and the state) cover.
        num_guessed: Tokens after the known ones that are guesses, to be verified in the step that is planned.
        num_proven: Guesses of the last step that proved right: now known, and computed.
        pages: The pages held, in order of text; the first ``num_tabled`` are in the batch's page table.
        nodes: The leading pages that are in the prefix tree, too; ``num_adopted`` were found there.
        tail: The node of a begun page that this sequence put into the tree at a checkpoint.
        stops: Where prefill pauses, ascending, so that a checkpoint of fixed state can be taken.
        slot: Its fixed state; ``None`` while it has none.
        lane: Its row in the batch's page table; -1 while it is not running.
        arrival: Counts submissions.
        is_admitted: It has been running before: it was preempted if it waits.
        canvas: The block that is refined once all known tokens are computed, for a sequence that writes in blocks;
            it lies in ``tokens`` behind those that are known.
        refined_at: The number of the step that last took the canvas.
        is_suspect: It took part in a step that failed, and runs alone until a step succeeds.
    """

    uses_cache = False
    fills_cache = False
    salt = ""
    session_id: str | None = None

    def __init__(self, id: str, prompt: I32, max_tokens: int, priority_key: str) -> None:
        self.id = id
        self.tokens = np.empty(prompt.size + max_tokens, np.int32)
        self.tokens[: prompt.size] = prompt
        self.num_prompt: int = prompt.size
        self.num_tokens: int = prompt.size
        self.priority_key = priority_key
        self.num_computed = self.num_guessed = self.num_proven = 0
        self.num_tabled = self.num_adopted = 0
        self.pages: list[int] = []
        self.nodes: list[Node] = []
        self.stops: list[int] = []
        self.tail: Node | None = None
        self.slot: int | None = None
        self.canvas: Canvas | None = None
        self.lane = -1
        self.refined_at = 0
        self.arrival = 0
        self.is_admitted = self.is_paused = self.is_suspect = self.is_cancelled = False

    @property
    def num_pending(self) -> int:
        """Known tokens that are not computed yet; 1 while decoding, 0 while a canvas is refined."""
        return self.num_tokens - self.num_computed

    @property
    def num_reusable(self) -> int:
        """Most leading tokens that may come from the cache: the last one is always computed."""
        return self.num_tokens - 1

    @property
    def history(self) -> I32:
        """Prompt and generated tokens."""
        return self.tokens[: self.num_tokens]

    @abstractmethod
    def guess(self, room: int, price: Price) -> None:
        """Put guesses that are worth their price, at most ``room``, after the known tokens."""

    @abstractmethod
    def num_outputs(self, num_rows: int) -> int:
        """Return how many of its next rows have results that are wanted; always the last ones."""

    @abstractmethod
    def receive(self, logits: F32, hidden: F32 | None) -> Ending | None:
        """Take a step's results ``[R, V]`` (and ``[R, D]``); return how the sequence ends, if it does."""

    @abstractmethod
    def wait_at(self, position: int, pending: int) -> None:
        """Learn its place in the queue."""

    @abstractmethod
    def join(self, cache_note: str) -> None:
        """Learn that it joins the batch, for the first time."""

    @abstractmethod
    def end(self, ending: Ending) -> None:
        """Learn that it is over and that its memory has been returned."""

    @abstractmethod
    def fail(self, error: JackfieldError) -> None:
        """Learn that it ended with an error and that its memory has been returned."""


class Answer(Sequence):
    """A sequence whose tokens go to a sink.

    Args:
        num_new: Tokens that it needs room for after the prompt.
    """

    uses_cache = True
    fills_cache = True

    def __init__(self, request: SequenceRequest, prompt: I32, max_tokens: int, num_new: int) -> None:
        super().__init__(request.id, prompt, num_new, request.priority_key)
        self.salt = request.cache_salt
        self.session_id = request.session_id
        self.uses_cache = request.use_cache
        self.stats = SequenceStats(num_prompt_tokens=prompt.size, submitted_ns=time.monotonic_ns())
        self._sink = request.sink
        self._eog = frozenset[int]() if request.sampling.ignore_eos else request.eog
        self._max_tokens = max_tokens
        self._place: tuple[int, int] | None = None

    def wait_at(self, position: int, pending: int) -> None:
        """Tell the sink, if it does not know; a sequence that was preempted has its stream already."""
        if self.is_admitted or self._place == (position, pending):
            return
        self._place = (position, pending)
        self._sink.waiting(position, pending)

    def join(self, cache_note: str) -> None:
        """Tell the sink, with the number of cached tokens."""
        self.stats.admitted_ns = time.monotonic_ns()
        self.stats.num_cached_tokens = self.num_computed
        self._sink.admitted(self.stats, cache_note)

    def end(self, ending: Ending) -> None:
        """Tell the sink."""
        self.stats.finished_ns = time.monotonic_ns()
        self._sink.finished(ending.reason, self.stats, ending.eog_token)

    def fail(self, error: JackfieldError) -> None:
        """Tell the sink."""
        self.stats.finished_ns = time.monotonic_ns()
        self._sink.failed(error)


class Generation(Answer):
    """A sequence that picks tokens, one after the other."""

    def __init__(
        self,
        request: SequenceRequest,
        prompt: I32,
        max_tokens: int,
        sampler: Sampler,
        speculation: Speculation | None = None,
    ) -> None:
        super().__init__(request, prompt, max_tokens, max_tokens)
        self._sampler = sampler
        self._speculation = speculation
        self._on_prompt = request.on_prompt
        self._scored: list[SampledToken] = []

    @property
    def num_reusable(self) -> int:
        """Most leading tokens that may come from the cache; a row that is to be scored has to be computed."""
        most = self.num_tokens - 1
        return most if self._on_prompt is None else min(most, len(self._scored))

    def guess(self, room: int, price: Price) -> None:
        """Put the guesses that are worth verifying after the known tokens."""
        if self._speculation is None:
            return
        # the last token of all comes from a row before it, so no more than this can be of use
        room = min(room, self._max_tokens - self.stats.num_completion_tokens - 1)
        guesses = self._speculation.guess(self.history, room, price)
        self.num_guessed = guesses.size
        self.tokens[self.num_tokens : self.num_tokens + guesses.size] = guesses

    def num_outputs(self, num_rows: int) -> int:
        """Return 1 when the rows reach the last known token, and 1 for each guess after it.

        While the prompt is scored, all rows from the first that was not.
        """
        num_picked = max(0, num_rows - self.num_pending + 1)
        if self._on_prompt is None:
            return num_picked
        return max(num_picked, self.num_computed + num_rows - len(self._scored))

    def receive(self, logits: F32, hidden: F32 | None) -> Ending | None:
        """Pick the next token, and the one after each guess that this proves right.

        Every token is picked from the logits after the tokens before it, as it would be without guesses.
        """
        if self._on_prompt is not None:
            logits = self._score(logits, self._on_prompt)
            if self._is_scored and not self._max_tokens:
                return Ending("length")
            if not logits.shape[0]:
                return None
        first, num_guessed = self.num_tokens, self.num_guessed
        ending: Ending | None = None
        self.num_guessed = self.num_proven = 0
        for row in logits:
            guess = self.tokens[self.num_tokens] if self.num_proven < num_guessed else NO_TOKEN
            ending = self._pick(row)
            if ending is not None or self.tokens[self.num_tokens - 1] != guess:
                break
            self.num_proven += 1
        self.stats.num_accepted_draft_tokens += self.num_proven
        self.stats.num_rejected_draft_tokens += num_guessed - self.num_proven
        if self._speculation is not None:
            self._speculation.settle(self.tokens[first : self.num_tokens])
        return ending

    @property
    def _is_scored(self) -> bool:
        return len(self._scored) == self.num_prompt - 1

    def _score(self, logits: F32, on_prompt: Callable[[list[SampledToken]], None]) -> F32:
        """Take what rows of the prompt say about the token after each; return the rows after them."""
        num_missing = self.num_prompt - 1 - len(self._scored)
        for row in logits[:num_missing]:
            position = len(self._scored) + 1
            self._scored.append(self._sampler.score(row, int(self.tokens[position]), position))
        if self._is_scored:
            self._on_prompt = None
            on_prompt(self._scored)
        return logits[num_missing:]

    def _pick(self, logits: F32) -> Ending | None:
        stats = self.stats
        token = self._sampler.pick(logits, self.history, stats.num_completion_tokens)
        if not stats.num_completion_tokens:
            stats.first_token_ns = time.monotonic_ns()
        stats.num_completion_tokens += 1
        if token.id in self._eog:
            return Ending("stop", token.id)
        self._sampler.accept(token.id)
        self.tokens[self.num_tokens] = token.id
        self.num_tokens += 1
        reason = self._sink.token(token)
        if reason is None and stats.num_completion_tokens == self._max_tokens:
            reason = "length"
        return None if reason is None else Ending(reason)


class Pooling(Sequence):
    """A sequence whose hidden rows become one vector of length 1: their mean, the first or the last."""

    def __init__(self, id: str, tokens: I32, kind: PoolingKind, priority_key: str) -> None:
        super().__init__(id, tokens, 0, priority_key)
        self.future: Future[F32] = Future()
        self._kind = kind
        self._total: npt.NDArray[np.float64] | None = None

    def guess(self, room: int, price: Price) -> None:
        """Guess nothing: all tokens are known."""

    def num_outputs(self, num_rows: int) -> int:
        """Return all rows."""
        return num_rows

    def receive(self, logits: F32, hidden: F32 | None) -> Ending | None:
        """Take the hidden rows in; the last ones complete the vector."""
        assert hidden is not None
        if self.num_computed == hidden.shape[0]:  # from the start: for the first time, or preempted
            self._total = None
        if self._kind == "last":
            self._total = hidden[-1].astype(np.float64)
        elif self._total is None:
            self._total = (hidden[:1] if self._kind == "first" else hidden).sum(axis=0, dtype=np.float64)
        elif self._kind == "mean":
            self._total = self._total + hidden.sum(axis=0, dtype=np.float64)
        return Ending("stop") if self.num_computed == self.num_tokens else None

    def wait_at(self, position: int, pending: int) -> None:
        """Tell nobody."""

    def join(self, cache_note: str) -> None:
        """Tell nobody."""

    def end(self, ending: Ending) -> None:
        """Deliver the vector, unless the sequence was cancelled."""
        if ending.reason == "cancelled" or self._total is None:
            self.future.cancel()
            return
        length = float(np.linalg.norm(self._total))
        if not np.isfinite(length) or length == 0.0:
            self.fail(NumericalError(f"the pooled hidden rows have length {length!r}, expected a finite one"))
            return
        with contextlib.suppress(InvalidStateError):  # cancelled in this very moment
            self.future.set_result((self._total / length).astype(np.float32))

    def fail(self, error: JackfieldError) -> None:
        """Deliver the error."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)
