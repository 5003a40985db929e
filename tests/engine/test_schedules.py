"""Any schedule of requests gives each of them the tokens that its own text calls for, and leaks nothing."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jackfield.engine import Engine
from jackfield.errors import BackendError, NumericalError
from jackfield.testing.engines import EOG, VOCAB_SIZE, Recorder, ask, make_engine
from jackfield.testing.paged_double import PagedDouble, expected_greedy

BAD, FATAL = 62, 63
RELAXED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass
class Job:
    prompt: list[int]
    max_tokens: int
    sink: Recorder
    is_cancelled: bool = False


@dataclass
class Crowd:
    """Requests that come and go at random, over a few texts that many share."""

    engine: Engine
    double: PagedDouble
    is_recurrent: bool
    dice: random.Random
    jobs: dict[str, Job] = field(default_factory=dict)
    texts: list[list[int]] = field(default_factory=list)

    def act(self) -> None:
        kind = self.dice.choices(
            ["submit", "turn", "turns", "cancel", "pause", "resume", "forget", "embed"],
            [6, 6, 3, 2, 1, 2, 1, 1],
        )[0]
        getattr(self, f"_{kind}")()

    def finish(self) -> None:
        for id in self.jobs:
            self.engine.resume(id)
        self.engine.run_until_idle()
        self.engine.check()
        stats = self.engine.stats()
        assert (stats.num_running, stats.num_waiting) == (0, 0)
        assert stats.num_free_pages == stats.num_pages
        for job in self.jobs.values():
            self._judge(job)

    def _submit(self) -> None:
        prompt = self._prompt()
        sink = Recorder()
        id = f"r{len(self.jobs)}"
        request = ask(
            id,
            prompt,
            sink,
            max_tokens=self.dice.randrange(1, 40),
            cache_salt=self.dice.choice(["", "", "other"]),
            session_id=self.dice.choice([None, "s", "t"]),
            priority_key=self.dice.choice("ab"),
            use_cache=self.dice.random() < 0.9,
        )
        self.jobs[id] = Job(prompt, request.max_tokens, sink)
        self.engine.submit(request)

    def _turn(self) -> None:
        self.engine._turn()

    def _turns(self) -> None:
        for _ in range(self.dice.randrange(20)):
            self.engine._turn()

    def _cancel(self) -> None:
        if self.jobs:
            id = self.dice.choice(list(self.jobs))
            self.jobs[id].is_cancelled = True
            self.engine.cancel(id)

    def _pause(self) -> None:
        if self.jobs:
            self.engine.pause(self.dice.choice(list(self.jobs)))

    def _resume(self) -> None:
        if self.jobs:
            self.engine.resume(self.dice.choice(list(self.jobs)))

    def _forget(self) -> None:
        self.engine.forget_session(self.dice.choice("st"))

    def _embed(self) -> None:
        future = self.engine.embed([1 + self.dice.randrange(60) for _ in range(self.dice.randrange(1, 60))])
        if self.dice.random() < 0.3:
            future.cancel()

    def _prompt(self) -> list[int]:
        """Return a new text, or an old one cut, changed or continued as a conversation would be."""
        fresh = [1 + self.dice.randrange(60) for _ in range(self.dice.randrange(1, 50))]
        if self.dice.random() < 0.05:
            fresh[self.dice.randrange(len(fresh))] = self.dice.choice([BAD, FATAL])
        old: list[int] = []
        if self.jobs and self.dice.random() < 0.7:
            job = self.dice.choice(list(self.jobs.values()))
            old = job.prompt + job.sink.tokens
            old = old[: self.dice.randrange(len(old) + 1)] if self.dice.random() < 0.5 else old
        return (old + fresh)[-100:] if self.dice.random() < 0.1 else (old + fresh)[:100]

    def _judge(self, job: Job) -> None:
        sink = job.sink
        assert sink.num_endings == 1
        wanted = expected_greedy(
            job.prompt, job.max_tokens, VOCAB_SIZE, EOG | {BAD, FATAL}, is_recurrent=self.is_recurrent
        )
        if BAD in job.prompt or FATAL in job.prompt:
            assert job.is_cancelled or isinstance(sink.error, NumericalError | BackendError)
            return
        if sink.error is not None:  # it picked one of the two bad tokens itself
            assert isinstance(sink.error, NumericalError | BackendError)
            assert sink.tokens[:-1] == wanted
            assert sink.tokens[-1] in (BAD, FATAL)
        elif sink.reason == "cancelled":
            assert job.is_cancelled
            assert sink.tokens[: len(wanted)] == wanted[: len(sink.tokens)]
        elif sink.tokens != wanted:  # a bad token was picked last, and never computed
            assert sink.tokens[:-1] == wanted
            assert len(sink.tokens) == job.max_tokens


def crowd(seed: int, num_pages: int, num_state_slots: int, max_rows: int, max_sequences: int) -> Crowd:
    engine, double = make_engine(
        num_pages=num_pages,
        num_state_slots=num_state_slots,
        max_rows=max_rows,
        max_sequences=max_sequences,
        max_outputs=max(max_sequences, 8),
        max_context=160,
        bad_tokens=[BAD],
        fatal_tokens=[FATAL],
    )
    return Crowd(engine, double, num_state_slots > 0, random.Random(seed))


@RELAXED
@given(
    seed=st.integers(0, 2**32),
    num_pages=st.sampled_from([10, 12, 20, 40]),
    num_state_slots=st.sampled_from([0, 0, 1, 3, 8]),
    max_rows=st.sampled_from([16, 24, 64]),
    max_sequences=st.sampled_from([1, 2, 4]),
    num_acts=st.integers(1, 80),
)
def test_any_schedule(
    seed: int, num_pages: int, num_state_slots: int, max_rows: int, max_sequences: int, num_acts: int
) -> None:
    people = crowd(seed, num_pages, num_state_slots, max_rows, max_sequences)
    for _ in range(num_acts):
        people.act()
    people.finish()


@pytest.mark.parametrize("num_state_slots", [0, 6])
def test_thousands_of_sequences_leave_every_page_where_it_was(num_state_slots: int) -> None:
    engine, _ = make_engine(
        num_pages=12, num_state_slots=num_state_slots, max_context=96, check_invariants=False
    )
    dice = random.Random(7)
    sinks: list[Recorder] = []
    for number in range(2000):
        prompt = [1 + dice.randrange(3) for _ in range(dice.randrange(1, 12))]
        sink = Recorder()
        sinks.append(sink)
        engine.submit(ask(str(number), prompt, sink, max_tokens=dice.randrange(1, 4)))
        if dice.random() < 0.3:
            engine.cancel(str(dice.randrange(number + 1)))
        if number % 8 == 0:
            engine.run_until_idle()
    engine.run_until_idle()
    engine.check()
    assert all(sink.num_endings == 1 for sink in sinks)
    assert engine.stats().num_free_pages == 12
