"""Guessed tokens change how fast a text is generated, and nothing else."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.engine.drafting import Draft, PromptLookup
from jackfield.engine.speculation import MOST_GUESSES, SHARE, TRIAL, Speculation, StepCosts
from jackfield.service.requests import Sampling
from jackfield.testing.engines import ENDLESS, EOG, VOCAB_SIZE, Recorder, ask, make_engine
from jackfield.testing.paged_double import PagedDouble, expected_greedy

I32 = npt.NDArray[np.int32]
PROMPT = list(range(1, 41))
TEXT = [*PROMPT, *expected_greedy(PROMPT, 200, VOCAB_SIZE, ENDLESS)]

FATAL = next(token for token in range(VOCAB_SIZE) if token not in TEXT[:60])
POISONED = [*TEXT[:50], FATAL, *TEXT[51:]]


@dataclass
class Oracle:
    """Guesses the true continuation; each token is wrong with the given chance."""

    text: list[int]
    wrong: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._dice = np.random.default_rng(self.seed)

    def draft(self, history: I32, most: int) -> Draft | None:
        tokens = np.array(self.text[history.size : history.size + most], np.int32)
        if not tokens.size:
            return None
        is_wrong = self._dice.random(tokens.size) < self.wrong
        return Draft(np.where(is_wrong, (tokens + 1) % VOCAB_SIZE, tokens).astype(np.int32), 1)


def free() -> float:
    """A clock that makes every step free, so that every guess is verified."""
    return 0.0


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("page_size", [16, 32])
def test_guesses_right_or_wrong_do_not_change_a_text(wrong: float, page_size: int) -> None:
    engine, double = make_engine(page_size=page_size, make_drafter=lambda: Oracle(TEXT, wrong), clock=free)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=150, eog=ENDLESS))
    engine.run_until_idle()
    assert sink.tokens == TEXT[40:190]
    assert sink.stats is not None
    assert sink.stats.num_completion_tokens == 150
    accepted, rejected = sink.stats.num_accepted_draft_tokens, sink.stats.num_rejected_draft_tokens
    assert len(double.steps) == 150 - accepted
    assert double.num_rows == 40 + 149 + rejected
    assert (accepted > 130) == (wrong == 0.0)
    assert (accepted == 0) == (wrong == 1.0)
    assert (rejected == 0) == (wrong == 0.0)


SAMPLINGS = {
    "seeded": Sampling(temperature=1.0, seed=7),
    "truncated": Sampling(temperature=0.8, top_k=20, top_p=0.9, min_p=0.01, seed=3),
    "penalised": Sampling(repeat_penalty=1.3, presence_penalty=0.5, frequency_penalty=0.2),
    "all of it": Sampling(temperature=0.9, repeat_penalty=1.2, mirostat=2, seed=5, top_logprobs=3),
}


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_sampled_texts_have_the_same_draws(sampling: Sampling) -> None:
    plain, guessed = Recorder(), Recorder()
    engine, _ = make_engine()
    engine.submit(ask("a", PROMPT, plain, max_tokens=60, eog=ENDLESS, sampling=sampling))
    engine.run_until_idle()
    text = [*PROMPT, *plain.tokens]
    engine, double = make_engine(make_drafter=lambda: Oracle(text, 0.2), clock=free)
    engine.submit(ask("a", PROMPT, guessed, max_tokens=60, eog=ENDLESS, sampling=sampling))
    engine.run_until_idle()
    assert guessed.picked == plain.picked  # log-probabilities and alternatives included
    assert len(double.steps) < 40


class Alternating:
    """A mask that allows even and odd ids in turn, and insists on hearing of each token once."""

    def __init__(self) -> None:
        self.num_accepted = 0

    def bitmask(self) -> npt.NDArray[np.uint32]:
        word = 0x55555555 if self.num_accepted % 2 == 0 else 0xAAAAAAAA
        return np.full(VOCAB_SIZE // 32, word, np.uint32)

    def admits(self, token_id: int) -> bool:
        return True

    def accept(self, token_id: int) -> None:
        assert token_id % 2 == self.num_accepted % 2
        self.num_accepted += 1


def test_a_grammar_hears_of_picked_tokens_only() -> None:
    def run(**options: Any) -> tuple[list[int], int]:
        engine, double = make_engine(**options)
        sink = Recorder()
        engine.submit(ask("a", PROMPT, sink, max_tokens=60, eog=ENDLESS, mask=Alternating()))
        engine.run_until_idle()
        return sink.tokens, len(double.steps)

    plain, num_plain_steps = run()
    text = [*PROMPT, *plain]
    guessed, num_steps = run(make_drafter=lambda: Oracle(text, 0.3), clock=free)
    assert guessed == plain
    assert num_steps < num_plain_steps


def test_an_end_inside_the_guesses_ends_there() -> None:
    end = TEXT[60]
    expected = TEXT[40 : TEXT.index(end, 40)]
    engine, _ = make_engine(make_drafter=lambda: Oracle(TEXT), clock=free)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=60, eog=frozenset({end})))
    engine.run_until_idle()
    assert (sink.tokens, sink.reason, sink.eog_token) == (expected, "stop", end)


def test_a_sink_that_has_enough_gets_no_guessed_token_more() -> None:
    engine, _ = make_engine(make_drafter=lambda: Oracle(TEXT), clock=free)
    sink = Recorder(on_token=lambda token: "stop" if len(sink.picked) == 23 else None)
    engine.submit(ask("a", PROMPT, sink, max_tokens=60, eog=ENDLESS))
    engine.run_until_idle()
    assert (sink.tokens, sink.reason) == (TEXT[40:63], "stop")


@pytest.mark.parametrize("count", [1, 2, 16, 17])
def test_the_token_limit_holds_to_the_token(count: int) -> None:
    engine, double = make_engine(make_drafter=lambda: Oracle(TEXT), clock=free)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=count, eog=ENDLESS))
    engine.run_until_idle()
    assert (sink.tokens, sink.reason) == (TEXT[40 : 40 + count], "length")
    assert double.num_rows == 40 + count - 1


def test_later_turns_find_the_verified_tokens_and_no_guess() -> None:
    engine, _ = make_engine(make_drafter=lambda: Oracle(TEXT, 0.5), clock=free)
    first, second = Recorder(), Recorder()
    engine.submit(ask("a", PROMPT, first, max_tokens=50, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    longer = [*PROMPT, *first.tokens, 7]
    engine.submit(ask("b", longer, second, max_tokens=20, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    assert second.num_cached == 40 + 50 - 1  # the last token was picked, not computed
    assert second.tokens == expected_greedy(longer, 20, VOCAB_SIZE, ENDLESS)


def test_sequences_that_guess_side_by_side_stay_within_the_outputs() -> None:
    engine, double = make_engine(
        max_outputs=8, max_sequences=4, make_drafter=lambda: Oracle(TEXT, 0.3), clock=free
    )
    sinks = [Recorder() for _ in range(4)]
    prompts = [TEXT[: 30 + 5 * place] for place in range(4)]
    for place, sink in enumerate(sinks):
        engine.submit(ask(str(place), prompts[place], sink, max_tokens=40, eog=ENDLESS))
    engine.run_until_idle()
    for prompt, sink in zip(prompts, sinks, strict=True):
        assert sink.tokens == expected_greedy(prompt, 40, VOCAB_SIZE, ENDLESS)
    assert (8, 4) in double.steps  # the double asserts that it is never more


def test_guesses_take_no_page_from_another_sequence() -> None:
    """Two sequences fill the pages to the last: guesses shrink to what the own pages hold."""
    engine, _ = make_engine(
        num_pages=10, page_size=16, max_context=112, make_drafter=lambda: Oracle(TEXT), clock=free
    )
    sinks = [Recorder(), Recorder()]
    for name, sink in zip("ab", sinks, strict=True):
        engine.submit(ask(name, PROMPT, sink, max_tokens=40, eog=ENDLESS, use_cache=False))
    engine.run_until_idle()
    assert [sink.tokens for sink in sinks] == [TEXT[40:80]] * 2
    assert engine.stats().num_preemptions == 0


def test_a_failed_step_of_guesses_is_repeated_without_them() -> None:
    engine, _ = make_engine(fatal_tokens=[FATAL], make_drafter=lambda: Oracle(POISONED), clock=free)
    sinks = [Recorder(), Recorder()]
    for name, sink in zip("ab", sinks, strict=True):
        engine.submit(ask(name, PROMPT, sink, max_tokens=20, eog=ENDLESS))
    engine.run_until_idle()
    assert [sink.error for sink in sinks] == [None, None]
    assert [sink.tokens for sink in sinks] == [TEXT[40:60]] * 2


def test_a_program_with_state_is_not_guessed_for() -> None:
    engine, _ = make_engine(num_state_slots=8, make_drafter=lambda: Oracle(TEXT), clock=free)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=30, eog=ENDLESS))
    engine.run_until_idle()
    assert sink.tokens == expected_greedy(PROMPT, 30, VOCAB_SIZE, ENDLESS, is_recurrent=True)
    assert sink.stats is not None
    assert sink.stats.num_accepted_draft_tokens + sink.stats.num_rejected_draft_tokens == 0


def test_any_crowd_of_guessing_sequences_gets_its_own_texts() -> None:
    for seed in range(25):
        dice = random.Random(seed)
        engine, _ = make_engine(num_pages=24, make_drafter=PromptLookup, clock=free)
        jobs: list[tuple[list[int], Recorder, int]] = []
        for number in range(8):
            word = [dice.randrange(1, 8) for _ in range(4)]
            prompt = (word * 20)[: dice.randrange(1, 60)]
            jobs.append((prompt, Recorder(), dice.randrange(1, 40)))
            engine.submit(ask(str(number), prompt, jobs[-1][1], max_tokens=jobs[-1][2], session_id="s"))
        engine.run_until_idle()
        for prompt, sink, count in jobs:
            assert sink.tokens == expected_greedy(prompt, count, VOCAB_SIZE, EOG)


def test_a_sequence_alone_does_not_fail_of_a_guess() -> None:
    engine, _ = make_engine(fatal_tokens=[FATAL], make_drafter=lambda: Oracle(POISONED), clock=free)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=20, eog=ENDLESS))
    engine.run_until_idle()
    assert (sink.error, sink.tokens) == (None, TEXT[40:60])


# ---- where it pays ----


@dataclass
class Work:
    """A clock that a backend drives: a step costs 1 s, and so much for each row."""

    row_s: float
    double: PagedDouble | None = None

    def __call__(self) -> float:
        if self.double is None:
            return 0.0
        return len(self.double.steps) + self.row_s * self.double.num_rows


def run_priced(row_s: float, wrong: float, count: int) -> float:
    """Return how many times as long plain decoding takes as guessing does."""
    clock = Work(row_s)
    engine, double = make_engine(make_drafter=lambda: Oracle(TEXT, wrong), clock=clock)
    clock.double = double
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=count, eog=ENDLESS))
    engine.run_until_idle()
    assert sink.tokens == TEXT[40 : 40 + count]
    prompt_s = 1 + row_s * 40
    return (count - 1) * (1 + row_s) / (clock() - prompt_s)


@pytest.mark.parametrize("row_s", [0.02, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("wrong", [0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("count", [48, 180])
def test_guesses_never_cost_more_than_three_in_a_hundred(row_s: float, wrong: float, count: int) -> None:
    assert run_priced(row_s, wrong, count) > 0.97


@pytest.mark.parametrize(("row_s", "gain"), [(0.02, 7.0), (0.1, 3.5), (0.3, 2.0)])
def test_right_guesses_pay(row_s: float, gain: float) -> None:
    assert run_priced(row_s, 0.0, 180) > gain


def test_a_price_is_known_once_a_plain_step_was_seen() -> None:
    costs = StepCosts()
    assert costs.price(1, 1) is None
    costs.observe(1, 1.0)
    costs.observe(5, 2.0)
    price = costs.price(1, 1)
    assert price is not None
    assert price(4) == pytest.approx(1.0)
    assert price(2) == pytest.approx(0.5)
    assert price(9) == pytest.approx(1.5)
    assert price(10) == math.inf  # more than twice the rows ever measured
    together = costs.price(4, 4)
    assert together is None


def test_a_step_that_was_held_up_does_not_end_all_guessing() -> None:
    """Other work of the machine made the only longer step look dear; plain steps let it be tried again."""
    costs = StepCosts()
    costs.observe(1, 1.0)
    costs.observe(2, 50.0)
    price = costs.price(1, 1)
    assert price is not None
    assert price(1) == pytest.approx(1.0)  # two rows never cost more than twice one
    for _ in range(150):
        costs.observe(1, 1.0)
    assert price(1) < TRIAL


# ---- looking up ----


def lookup(*texts: list[int], most: int = 4) -> Draft | None:
    drafter = PromptLookup()
    found = None
    for text in texts:
        found = drafter.draft(np.array(text, np.int32), most)
    return found


def test_a_text_is_guessed_to_go_on_as_it_did() -> None:
    found = lookup([1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5])
    assert found is not None
    assert found.tokens.tolist() == [6, 7, 8, 9]


def test_the_longest_ending_counts_before_the_latest() -> None:
    found = lookup([1, 2, 3, 4, 9, 3, 4, 8, 1, 2, 3, 4], most=1)
    assert found is not None
    assert (found.tokens.tolist(), found.evidence) == ([9], 4)


def test_among_equals_the_latest_counts() -> None:
    found = lookup([1, 2, 7, 1, 2, 8, 5, 1, 2], most=1)
    assert found is not None
    assert (found.tokens.tolist(), found.evidence) == ([8], 2)


def test_a_text_that_runs_in_a_circle_is_guessed_to_go_on() -> None:
    found = lookup([5, 6, 7, 5, 6, 7, 5, 6], most=7)
    assert found is not None
    assert found.tokens.tolist() == [7, 5, 6, 7, 5, 6, 7]


@pytest.mark.parametrize("text", [[], [1], [1, 2], [1, 2, 3, 4, 5, 6]])
def test_a_text_that_repeats_nothing_gives_no_guess(text: list[int]) -> None:
    assert lookup(text) is None


def test_the_index_grows_with_the_text() -> None:
    text = [int(token) for token in np.random.default_rng(0).integers(0, 6, 300)]
    grown = lookup(*(text[:stop] for stop in range(1, 301)))
    at_once = lookup(text)
    assert grown is not None
    assert at_once is not None
    assert grown.tokens.tolist() == at_once.tokens.tolist()


def test_guesses_not_worth_verifying_are_judged_all_the_same() -> None:
    """A text that begins to repeat is noticed although nothing was verified before."""
    speculation = Speculation(Oracle(list(range(100)), 0.0))
    text = np.arange(100, dtype=np.int32)
    sizes: list[int] = []
    for size in range(1, 40):
        sizes.append(speculation.guess(text[:size], 15, lambda count: 0.85 * count).size)
        speculation.settle(text[size : size + 1])
    assert sizes[0] == 0
    assert max(sizes) > 0


def test_what_may_be_lost_is_bounded() -> None:
    """However often guesses are wrong, their price is at most a trial and a share of the text."""
    speculation = Speculation(Oracle(list(range(1, 101)), 0.0))
    text = np.zeros(2000, np.int32)
    spent = 0.0
    for size in range(1, 80):
        spent += 0.2 * speculation.guess(text[:size], MOST_GUESSES, lambda count: 0.2 * count).size
        speculation.settle(np.array([77], np.int32))
    assert 0.2 <= spent <= TRIAL + SHARE * 80
