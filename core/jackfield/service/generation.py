"""One request on its way through a model: its prompt, its choices, its stream of events."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from jackfield.engine.contract import SampledToken, SequenceRequest, SequenceStats
from jackfield.errors import JackfieldError
from jackfield.service.buffer import EventBuffer
from jackfield.service.choice import Choice, ChoiceEnd, VerbatimParser
from jackfield.service.config import EngineConfig
from jackfield.service.events import (
    Admitted,
    DryRun,
    Event,
    Failed,
    Finished,
    FinishReason,
    QueuePlace,
    TextDelta,
    Timings,
    TokenLogprob,
    Usage,
)
from jackfield.service.history import TokenHistory
from jackfield.service.hosting import HostedModel
from jackfield.service.plan import Plan, make_plan
from jackfield.service.preview import DEFAULT_SESSION, preview_of
from jackfield.service.prompting import offered_tools
from jackfield.service.requests import GenerationRequest, Message
from jackfield.text import StopStrings, StreamDetokenizer
from jackfield.text.contract import FormatParser

__all__ = ["Generation"]

log = logging.getLogger("jackfield.service")

GREEDY_SEED = 0
"""A diffusion model draws even for a greedy request, which should still give the same answer twice."""


class Generation:
    """Run one request; every event goes to the buffer.

    ``run`` is called on a thread that may block, ``cancel`` on any, the rest by the engine's thread.

    Args:
        serial: Tells this generation from every other of the process, whatever ids the clients chose.
        on_admitted: Called once when the request no longer waits, or is over.
        on_over: Called once after the last event.
        eta_s: Tells how long the one at that queue position will wait.
    """

    def __init__(
        self,
        serial: int,
        request: GenerationRequest,
        model: HostedModel,
        config: EngineConfig,
        history: TokenHistory,
        buffer: EventBuffer,
        *,
        on_admitted: Callable[[], None],
        on_over: Callable[[], None],
        eta_s: Callable[[int], float | None] = lambda position: None,
    ) -> None:
        self.request = request
        self._serial = serial
        self._model = model
        self._config = config
        self._history = history
        self._buffer = buffer
        self._on_admitted = on_admitted
        self._on_over = on_over
        self._eta_s = eta_s
        self._received_ns = time.monotonic_ns()
        self._seed = self._first_seed()
        self._begun_ns: int | None = None
        self._plan: Plan | None = None
        self._choices: list[Choice] = []
        self._lock = threading.Lock()
        self._unfinished = set(range(request.num_choices))
        self._num_submitted = 0
        self._is_admitted = False
        self._is_over = False
        self._is_paused = False
        buffer.on_change = self._keep_pace

    # ---- the caller's side ----

    def run(self) -> None:
        """Check, render and submit; a refusal becomes the stream's ``Failed``."""
        try:
            self._begin()
        except JackfieldError as error:
            self.broke(error)
        except Exception:
            log.exception("request %s cannot be prepared", self.request.id)
            self.broke(JackfieldError("preparing the request failed; the log has the cause"))

    def cancel(self) -> None:
        """End the generation within one step, each choice as cancelled."""
        self._end_all("cancelled")

    def _keep_pace(self) -> None:
        """Pause the engine's work for a reader that is behind, and go on once it has caught up.

        The lock makes the last of two crossing calls decide by what the buffer holds then.
        """
        with self._lock:
            if self._is_over or self._buffer.is_full == self._is_paused:
                return
            self._is_paused = self._buffer.is_full
            change = self._model.engine.pause if self._is_paused else self._model.engine.resume
            for index in range(self._num_submitted):
                change(self._sequence_id(index))

    @property
    def is_over(self) -> bool:
        """Whether the last event was sent."""
        return self._is_over

    @property
    def running_s(self) -> float | None:
        """Seconds since the engine took it up; ``None`` when it never did."""
        return None if self._begun_ns is None else (time.monotonic_ns() - self._begun_ns) / 1e9

    # ---- preparing and submitting ----

    def _begin(self) -> None:
        request = self.request
        plan = make_plan(request, self._model, self._config, self._history)
        self._plan = plan
        if request.dry_run:
            self._preview(plan)
            return
        if plan.max_tokens == 0 and not self._scores_prompt:
            self._send_admitted(plan, SequenceStats(), "")
            self._end_all("length")
            return
        if request.reset_session and request.session_id is not None:
            self._model.engine.forget_session(request.session_id)
        self._choices = [self._make_choice(plan, index) for index in range(request.num_choices)]
        self._submit(0)

    def _preview(self, plan: Plan) -> None:
        """Tell what would be done, and end."""
        preview = preview_of(self.request, plan, self._model, self._seed)
        stats = SequenceStats(num_cached_tokens=preview.cached_tokens)
        self._send_admitted(plan, stats, preview.cache_note, preview)
        self._end_all("stop")

    def _first_seed(self) -> int:
        for seed in (self.request.sampling.seed, self._config.seed):
            if seed is not None:
                return seed
        if self._model.info.canvas_length is not None and not self.request.sampling.temperature:
            return GREEDY_SEED
        return random.SystemRandom().getrandbits(63)

    def _make_choice(self, plan: Plan, index: int) -> Choice:
        sampling, prompt = self.request.sampling, plan.prompt
        preserved = self._model.preserved if prompt.is_chat else frozenset[int]()
        return Choice(
            index=index,
            owner=self,
            tokenizer=self._model.tokenizer,
            parser=self._make_parser(plan),
            detokenizer=StreamDetokenizer(self._model.tokenizer, preserved, is_fresh=not prompt.is_continued),
            make_stops=lambda: StopStrings(sampling.stop),
            calls_in_parallel=self.request.tool_choice.parallel,
            with_logprobs=sampling.top_logprobs is not None,
            trims_start=self.request.constraint is not None and prompt.is_chat and not prompt.is_continued,
        )

    def _make_parser(self, plan: Plan) -> FormatParser:
        if not plan.prompt.is_chat:
            return VerbatimParser()
        tools = offered_tools(self.request, self._model)
        parser = self._model.chat_format.parser(tools)
        parser.prime(plan.prompt.tail)
        return parser

    def _submit(self, index: int) -> None:
        """Queue a choice, unless the stream ended meanwhile."""
        with self._lock:
            if self._is_over or self._plan is None:
                return
            self._num_submitted = max(self._num_submitted, index + 1)
        self._model.engine.submit(self._sequence(self._plan, index))
        if self._is_over:  # it ended between the check and the submission
            self._model.engine.cancel(self._sequence_id(index))
        elif self._is_paused:
            self._model.engine.pause(self._sequence_id(index))

    def _sequence(self, plan: Plan, index: int) -> SequenceRequest:
        request, choice, special = self.request, self._choices[index], self._model.tokenizer.special
        ignored = special.eog if request.sampling.ignore_eos else frozenset[int]()
        return SequenceRequest(
            id=self._sequence_id(index),
            prompt=plan.prompt.tokens,
            sampling=replace(request.sampling, seed=_seed_of_choice(self._seed, index)),
            max_tokens=plan.max_tokens,
            eog=special.eog - ignored,
            sink=choice,
            suppressed=special.suppressed | ignored,
            cache_salt=request.cache_salt,
            use_cache=not request.reset_session,
            mask=plan.mask(self._model.tokenizer, lambda: choice.is_thinking),
            priority_key=request.priority_key,
            session_id=request.session_id or DEFAULT_SESSION,
            on_prompt=self._echo_scored if self._scores_prompt and index == 0 else None,
        )

    def _sequence_id(self, index: int) -> str:
        return f"{self.request.id}#{self._serial}/{index}"

    # ---- what the choices tell ----

    def waiting(self, position: int, pending: int) -> None:
        """Tell the queue place; only while nothing has begun."""
        if not self._is_admitted:
            self.emit(QueuePlace(position, pending, self._eta_s(position)))

    def admitted(self, index: int, stats: SequenceStats, cache_note: str) -> None:
        """Tell once that the request runs: its first choice does."""
        if index == 0 and self._plan is not None:
            self._begun_ns = time.monotonic_ns()
            self._send_admitted(self._plan, stats, cache_note)

    def emit(self, event: Event) -> bool:
        """Send an event; ``False`` when the choice should end because nobody wants more."""
        if self._is_over:
            return False
        self._buffer.put(event)
        return True

    def began(self, index: int) -> None:
        """Start the other choices once the first has computed the prompt they share."""
        if index == 0:
            self._submit_others()

    def ended(self, index: int, end: ChoiceEnd) -> None:
        """Send a choice's end, and the stream's with the last one."""
        if self._is_over or self._plan is None:
            return
        if index == 0:
            self._remember(self._plan, end)
            self._submit_others()
        self._finish(self._plan, index, end)

    def broke(self, error: JackfieldError) -> None:
        """End the whole stream with an error; other choices are cancelled."""
        self._close([Failed(error.to_record())])

    def _submit_others(self) -> None:
        try:
            for index in range(self._num_submitted, self.request.num_choices):
                self._submit(index)
        except JackfieldError as error:
            self.broke(error)

    def _send_admitted(
        self, plan: Plan, stats: SequenceStats, cache_note: str, preview: DryRun | None = None
    ) -> None:
        self._leave_queue()
        self.emit(
            Admitted(
                model=self._model.info.file,
                num_prompt_tokens=len(plan.prompt.tokens),
                num_cached_tokens=stats.num_cached_tokens,
                max_tokens=plan.max_tokens,
                cache_note=cache_note,
                dry_run=preview,
            )
        )
        if self.request.echo and preview is None and not self._scores_prompt:
            self._echo(plan, [])

    @property
    def _scores_prompt(self) -> bool:
        """Whether the prompt's own log-probabilities are wanted."""
        return self.request.echo and self.request.sampling.top_logprobs is not None

    def _echo_scored(self, scored: Sequence[SampledToken]) -> None:
        """Send the prompt with its log-probabilities; a beginning that the tokenizer added is no part of it."""
        plan = self._plan
        assert plan is not None, "a prompt was scored before it was made"
        first = SampledToken(plan.prompt.tokens[0])
        is_added = self.request.prompt is not None and first.id == self._added_bos
        tokens = scored if is_added else [first, *scored]
        self._echo(plan, [self._choices[0].logprob_of(token) for token in tokens])

    @property
    def _added_bos(self) -> int | None:
        tokenizer = self._model.tokenizer
        return tokenizer.special.bos if tokenizer.add_bos else None

    def _echo(self, plan: Plan, logprobs: list[TokenLogprob]) -> None:
        for index in range(self.request.num_choices):
            self.emit(TextDelta(plan.prompt.text, index, logprobs))

    def _leave_queue(self) -> None:
        with self._lock:
            was_admitted, self._is_admitted = self._is_admitted, True
        if not was_admitted:
            self._on_admitted()

    def _remember(self, plan: Plan, end: ChoiceEnd) -> None:
        """Keep the answer's tokens for the conversation's next turn.

        Not after a stop string: the tokens hold more than the client saw and will send back.
        """
        if plan.prompt.digest is not None and end.stop_text is None:
            answer = Message("assistant", end.content, tool_calls=end.tool_calls)
            self._history.remember(plan.prompt.digest.add(answer), [*plan.prompt.tokens, *end.tokens])

    # ---- endings ----

    def _finish(self, plan: Plan, index: int, end: ChoiceEnd) -> None:
        stats = end.stats
        usage = Usage(
            num_prompt_tokens=len(plan.prompt.tokens),
            num_cached_tokens=stats.num_cached_tokens,
            num_completion_tokens=len(end.tokens),
            num_reasoning_tokens=end.num_reasoning_tokens,
            num_accepted_draft_tokens=stats.num_accepted_draft_tokens,
            num_rejected_draft_tokens=stats.num_rejected_draft_tokens,
        )
        event = Finished(
            reason=end.reason,
            usage=usage,
            timings=self._timings(stats),
            choice=index,
            stop_text=end.stop_text,
            note=plan.note,
            tokens=[*plan.prompt.tokens, *end.tokens] if self.request.return_tokens else [],
        )
        self._unfinished.discard(index)
        if self._unfinished:
            self.emit(event)
        else:
            self._close([event])

    def _end_all(self, reason: FinishReason) -> None:
        """End every unfinished choice now, with the counts of now."""
        plan = self._plan
        num_prompt_tokens = len(plan.prompt.tokens) if plan is not None else 0
        timings = self._timings(SequenceStats())
        ends: list[Event] = []
        for index in sorted(self._unfinished):
            num_tokens = self._choices[index].num_tokens if self._choices else 0
            usage = Usage(num_prompt_tokens, 0, num_tokens)
            ends.append(Finished(reason, usage, timings, index, note=plan.note if plan is not None else ""))
        self._close(ends)

    def _close(self, last: list[Event]) -> None:
        """Send the last events and let go of everything; only the first call does."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            num_submitted = self._num_submitted
        for position, event in enumerate(last, 1):
            self._buffer.put(event, is_last=position == len(last))
        for index in range(num_submitted):
            if index in self._unfinished:
                self._model.engine.cancel(self._sequence_id(index))
        self._leave_queue()
        self._on_over()

    def _timings(self, stats: SequenceStats) -> Timings:
        over_ns = stats.finished_ns or time.monotonic_ns()
        first_ns = stats.first_token_ns or over_ns
        begun_ns = stats.admitted_ns or first_ns
        return Timings(
            total_ns=over_ns - self._received_ns,
            queue_ns=begun_ns - self._received_ns,
            load_ns=0,
            prefill_ns=first_ns - begun_ns,
            decode_ns=over_ns - first_ns,
        )


def _seed_of_choice(seed: int, index: int) -> int:
    """Return a seed for each choice: the request's own for the first, so that one choice repeats."""
    return seed if index == 0 else (seed + index * 0x9E3779B97F4A7C15) % 2**63
