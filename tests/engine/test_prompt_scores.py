"""A sequence may ask for the log-probabilities of its prompt: the very ones its tokens had when picked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from jackfield.engine.contract import SampledToken
from jackfield.engine.engine import Engine
from jackfield.service.requests import Sampling
from jackfield.testing.engines import ENDLESS, Recorder, ask, make_engine

PROMPT = [1, 5, 9, 2, 7, 3]
LOGPROBS = Sampling(top_logprobs=2)


class Scores:
    """Takes what a prompt scored; only once."""

    def __init__(self) -> None:
        self.tokens: list[SampledToken] | None = None

    def __call__(self, tokens: Sequence[SampledToken]) -> None:
        assert self.tokens is None, "scored twice"
        self.tokens = list(tokens)


def generated(engine: Engine, num_tokens: int) -> list[SampledToken]:
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=num_tokens, sampling=LOGPROBS, eog=ENDLESS))
    engine.run_until_idle()
    return sink.picked


def scored(engine: Engine, prompt: list[int], max_tokens: int = 0, id: str = "s") -> tuple[Scores, Recorder]:
    scores, sink = Scores(), Recorder()
    engine.submit(
        ask(id, prompt, sink, max_tokens=max_tokens, sampling=LOGPROBS, eog=ENDLESS, on_prompt=scores)
    )
    return scores, sink


@pytest.mark.parametrize("num_state_slots", [0, 6])
@pytest.mark.parametrize("max_outputs", [3, 16])
def test_scores_are_the_logprobs_the_tokens_had_when_picked(num_state_slots: int, max_outputs: int):
    engine, _ = make_engine(num_state_slots=num_state_slots, max_outputs=max_outputs)
    picked = generated(engine, 50)
    text = PROMPT + [token.id for token in picked]
    scores, sink = scored(engine, text)
    engine.run_until_idle()
    assert scores.tokens is not None
    assert [token.id for token in scores.tokens] == text[1:]
    assert scores.tokens[len(PROMPT) - 1 :] == picked
    assert (sink.reason, sink.tokens, sink.num_cached) == ("length", [], 0)


def test_generation_goes_on_after_its_prompt_was_scored():
    engine, _ = make_engine()
    picked = generated(engine, 30)
    scores, sink = scored(engine, PROMPT + [token.id for token in picked[:20]], max_tokens=10)
    engine.run_until_idle()
    assert scores.tokens is not None
    assert sink.picked == picked[20:]


def test_prompts_are_scored_the_same_in_a_crowd_and_when_they_give_way():
    alone, _ = make_engine()
    text = PROMPT + [token.id for token in generated(alone, 60)]
    expected, _ = scored(alone, text)
    alone.run_until_idle()
    crowded, _ = make_engine(num_pages=16, page_size=16, max_outputs=6)
    results = []
    for index in range(4):
        crowded.submit(ask(f"g{index}", [index + 1, 4], Recorder(), max_tokens=180, eog=ENDLESS))
        results.append(scored(crowded, text, max_tokens=100, id=f"s{index}"))
    crowded.run_until_idle()
    assert crowded.stats().num_preemptions > 0
    for scores, sink in results:
        assert scores.tokens == expected.tokens
        assert len(sink.picked) == 100


def test_a_prompt_of_one_token_has_nothing_to_score():
    engine, _ = make_engine()
    scores, sink = scored(engine, [5], max_tokens=2)
    engine.run_until_idle()
    assert scores.tokens == []
    assert len(sink.picked) == 2


def test_scored_prompts_are_cached_for_others():
    engine, _ = make_engine(page_size=16)
    scored(engine, list(range(1, 50)))
    engine.run_until_idle()
    sink = Recorder()
    engine.submit(ask("b", [*range(1, 50), 51], sink, max_tokens=2))
    engine.run_until_idle()
    assert sink.num_cached >= 48
