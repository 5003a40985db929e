"""Decide who runs, and which rows the next step computes."""

from __future__ import annotations

from jackfield.backend import Limits
from jackfield.engine.batch import Batch, Scheduled
from jackfield.engine.cache import Offer, SequenceCache
from jackfield.engine.pace import Pace
from jackfield.engine.prefix import common_length
from jackfield.engine.sequence import Sequence
from jackfield.engine.speculation import StepCosts
from jackfield.engine.waiting import WaitingQueue

__all__ = ["Scheduler"]

HEADROOM_PAGES = 4
"""Pages that each running sequence should find free to grow into when another is admitted."""
WORTH_WAITING = 16
"""Tokens that must be saved for a sequence to wait until another has computed their common prefix."""


class Scheduler:
    """Continuous batching: every step takes a token of each decoding sequence and chunks of prompts.

    Sequences that were admitted never fail for want of pages: when they run out, idle ones are evicted, and
    then the youngest sequence gives way and is computed again later, to the same result.

    Attributes:
        running: Oldest first.
        num_preemptions: How often a sequence had to give way.
    """

    def __init__(self, cache: SequenceCache, limits: Limits, max_context: int) -> None:
        # half of the rows at most go to decoding, so that prompts always progress
        self.max_running = min(limits.max_sequences, limits.max_outputs, max(1, limits.max_rows // 2))
        self.batch = Batch(limits, self.max_running, cache.pool.pages_for(max_context))
        self._pace = Pace(limits.max_rows)
        self._costs = StepCosts()
        self.waiting = WaitingQueue()
        self.running: list[Sequence] = []
        self.num_preemptions = 0
        self._cache = cache
        self._limits = limits
        self._arrivals = self._num_plans = 0
        self._has_changed = False
        self._is_queue_stale = False

    # ---- coming and going ----

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self._arrivals += 1
        sequence.arrival = self._arrivals
        self.waiting.add(sequence)
        self._has_changed = self._is_queue_stale = True

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out of the queue or out of the batch; its memory is the caller's business."""
        if sequence.lane >= 0:
            self.running.remove(sequence)
            self.batch.leave(sequence)
        else:
            self.waiting.remove(sequence)
        self._has_changed = self._is_queue_stale = True

    def put_back(self, sequence: Sequence, *, keep: bool) -> None:
        """Send a running sequence back to the queue, to be computed again."""
        self.running.remove(sequence)
        self.batch.leave(sequence)
        self._cache.release(sequence, keep=keep)
        self.waiting.add(sequence)
        self.num_preemptions += 1
        self._is_queue_stale = True
        self._has_changed = self._has_changed or not self.running

    def next_offer(self) -> tuple[Sequence, Offer] | None:
        """Return whom to admit now, with what the cache has for it; ``None`` when nobody can be."""
        if not self._has_changed or not len(self.waiting) or len(self.running) >= self.max_running:
            return None
        for sequence in self.waiting.in_order(self.running):
            offer = self._cache.offer(sequence)
            if self._is_worth_waiting(sequence, offer):
                continue
            fitting = self._fitting(sequence, offer)
            if fitting is not None:
                return sequence, fitting
            break
        self._has_changed = False
        return None

    def places(self) -> list[Sequence]:
        """Return the queue in order if it has changed since the last call."""
        if not self._is_queue_stale:
            return []
        self._is_queue_stale = False
        return self.waiting.in_order(self.running)

    def admit(self, sequence: Sequence, offer: Offer) -> None:
        """Move a sequence from the queue into the batch."""
        self.waiting.remove(sequence)
        self._is_queue_stale = True
        self.running.append(sequence)
        self.batch.enter(sequence)
        self._cache.attach(sequence, offer)

    def check(self) -> None:
        """Assert that running sequences and lanes belong to each other."""
        lanes = [sequence.lane for sequence in self.running]
        self.batch.check(lanes)
        assert all(sequence.lane < 0 for sequence in self.waiting), "a waiting sequence has a lane"

    # ---- a step ----

    def plan(self) -> list[Scheduled]:
        """Return the next step's parts; empty when nothing can be computed."""
        active = [sequence for sequence in self.running if not sequence.is_paused]
        suspect = next((sequence for sequence in active if sequence.is_suspect), None)
        if suspect is not None:
            active = [suspect]
        plan = [Scheduled(s, 1, s.num_outputs(1)) for s in active if s.num_pending == 1 and self._has_room(s)]
        prompts = [sequence for sequence in active if sequence.num_pending > 1 and sequence.lane >= 0]
        canvases = [
            sequence for sequence in active if sequence.canvas is not None and not sequence.num_pending
        ]
        self._num_plans += 1
        if self._num_plans % 2:  # prompts and canvases each fill a step: they take turns at going first
            self._take_canvases(plan, canvases)
            self._take_prompts(plan, prompts)
        else:
            self._take_prompts(plan, prompts)
            self._take_canvases(plan, canvases)
        plan = [part for part in plan if part.sequence.lane >= 0]
        return plan if prompts or canvases or suspect is not None else self._with_guesses(plan)

    def observe(self, plan: list[Scheduled], seconds: float) -> None:
        """Learn how long a step took."""
        num_rows = sum(part.num_rows for part in plan)
        self._pace.observe(num_rows, seconds)
        if all(part.num_rows == part.num_outputs and part.canvas is None for part in plan):
            self._costs.observe(num_rows, seconds)

    def _with_guesses(self, plan: list[Scheduled]) -> list[Scheduled]:
        """Let decoding sequences guess what comes next, where that pays and nobody has to give way for it."""
        result: list[Scheduled] = []
        num_rows = len(plan)
        for part in plan:
            price = self._costs.price(len(plan), num_rows)
            if price is not None:
                room = min(self._limits.max_outputs, self._limits.max_rows) - num_rows
                part.sequence.guess(room, price)
                self._keep_within_pages(part.sequence)
            num_guessed = part.sequence.num_guessed
            num_rows += num_guessed
            result.append(Scheduled(part.sequence, 1 + num_guessed, part.num_outputs + num_guessed))
        return result

    def _keep_within_pages(self, sequence: Sequence) -> None:
        if not self._cache.extend(sequence, sequence.num_tokens + sequence.num_guessed):
            num_slots = len(sequence.pages) * self._cache.pool.page_size
            sequence.num_guessed = num_slots - sequence.num_tokens

    def _has_room(self, sequence: Sequence, num_new: int = 0) -> bool:
        """Find pages for the sequence's known tokens and some more; tell whether it is still running."""
        while sequence.lane >= 0 and not self._cache.extend(sequence, sequence.num_tokens + num_new):
            self.put_back(self.running[-1], keep=True)
        return sequence.lane >= 0

    def _take_canvases(self, plan: list[Scheduled], canvases: list[Sequence]) -> None:
        """Add whole canvases while there is room for them, the one that waited longest first."""
        for sequence in sorted(canvases, key=lambda s: s.refined_at):
            canvas = sequence.canvas
            assert canvas is not None
            rows = canvas.tokens.size
            if rows > self._rows_left(plan) or rows > self._outputs_left(plan):
                break
            if self._has_room(sequence, rows):
                sequence.refined_at = self._num_plans
                plan.append(Scheduled(sequence, rows, rows, canvas))

    def _take_prompts(self, plan: list[Scheduled], prompts: list[Sequence]) -> None:
        prompts = [sequence for sequence in prompts if sequence.lane >= 0]
        rows_left = self._rows_left(plan)
        if prompts and rows_left:
            budget = self._pace.num_rows(is_decoding=bool(plan)) - len(plan)
            self._share_out(plan, prompts, max(1, min(budget, rows_left)))
            # progress of a prompt may be what a waiting sequence waits for
            self._has_changed = True

    def _rows_left(self, plan: list[Scheduled]) -> int:
        return self._limits.max_rows - sum(part.num_rows for part in plan)

    def _outputs_left(self, plan: list[Scheduled]) -> int:
        return self._limits.max_outputs - sum(part.num_outputs for part in plan)

    def _share_out(self, plan: list[Scheduled], prompts: list[Sequence], budget: int) -> None:
        """Give rows to prompts: half to the oldest, the rest to the shortest, what is left to the oldest."""
        oldest = prompts[0]
        shares = {id(oldest): self._chunk(oldest, (budget + 1) // 2)}
        left = budget - shares[id(oldest)]
        for sequence in sorted(prompts[1:], key=lambda s: s.num_pending):
            shares[id(sequence)] = self._chunk(sequence, left)
            left -= shares[id(sequence)]
        shares[id(oldest)] = self._chunk(oldest, shares[id(oldest)] + left)
        num_outputs = self._limits.max_outputs - self._outputs_left(plan)
        wants = [(s.num_outputs(shares[id(s)]), s) for s in prompts if shares[id(s)]]
        for wanted, sequence in sorted(wants, key=lambda want: want[0]):
            rows = shares[id(sequence)]
            if wanted > self._limits.max_outputs - num_outputs:
                rows = self._limits.max_outputs - num_outputs
                wanted = sequence.num_outputs(rows)
            if rows:
                plan.append(Scheduled(sequence, rows, wanted))
                num_outputs += wanted

    def _chunk(self, sequence: Sequence, budget: int) -> int:
        """Return how many rows to take, up to the next stop for a checkpoint."""
        rows = min(sequence.num_pending, budget)
        if sequence.stops:
            rows = min(rows, sequence.stops[0] - sequence.num_computed)
        return rows

    # ---- admission ----

    def _fitting(self, sequence: Sequence, offer: Offer) -> Offer | None:
        headroom = sum(self._growth(each) for each in (*self.running, sequence)) if self.running else 0
        for candidate in (offer, self._cache.without_copy(sequence, offer)):
            if self._cache.fits(candidate, headroom):
                return candidate
        return None

    def _growth(self, sequence: Sequence) -> int:
        pages_for, canvas = self._cache.pool.pages_for, sequence.canvas
        held = max(len(sequence.pages), pages_for(sequence.num_tokens))
        next_block = 0 if canvas is None else pages_for(sequence.num_tokens + canvas.tokens.size) - held
        return min(pages_for(sequence.tokens.size) - held, max(HEADROOM_PAGES, next_block))

    def _is_worth_waiting(self, sequence: Sequence, offer: Offer) -> bool:
        """Tell whether a running prompt is about to compute much of this one, too."""
        if not sequence.uses_cache:
            return False
        for leader in self.running:
            is_computing = leader.fills_cache and leader.num_computed < leader.num_prompt
            if not is_computing or leader.is_paused or leader.salt != sequence.salt:
                continue
            shared = common_length(leader.tokens[: leader.num_prompt], sequence.history[:-1])
            if self._cache.states is not None:
                ends = (*leader.stops, leader.num_prompt)
                shared = max((end for end in ends if end <= shared), default=0)
            if leader.num_computed < shared and shared - offer.num_cached >= WORTH_WAITING:
                return True
        return False
