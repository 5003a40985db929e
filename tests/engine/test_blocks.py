"""Sequences of a diffusion model in the engine: what they get, alone and among others."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.engine import Engine
from jackfield.engine.canvas import Canvas
from jackfield.engine.sampling.draws import Draws
from jackfield.engine.sampling.edits import FixedEdits
from jackfield.errors import ConfigError, ContextOverflow, NumericalError
from jackfield.program import BlockDiffusion
from jackfield.service.requests import Sampling
from jackfield.testing.engines import ENDLESS, EOG, VOCAB_SIZE, Recorder, ask, make_engine
from jackfield.testing.paged_double import PagedDouble, expected_canvas_logits

C = 8
DIFFUSION = BlockDiffusion(C, max_steps=3, entropy_bound=3.0)
PROMPT = list(range(1, 41))


def make(**settings: object) -> tuple[Engine, PagedDouble]:
    return make_engine(**{"diffusion": DIFFUSION, **settings})  # type: ignore[arg-type]


def expected(prompt: list[int], count: int, seed: int, eog: frozenset[int] = ENDLESS) -> list[int]:
    """Refine block after block, without an engine."""
    text, draws, edits = list(prompt), Draws(seed), FixedEdits(Sampling(), (), VOCAB_SIZE)
    while len(text) < len(prompt) + count:
        canvas = Canvas(DIFFUSION, VOCAB_SIZE, edits, draws)
        while not canvas.refine(expected_canvas_logits(text, canvas, VOCAB_SIZE)):
            pass
        text += canvas.answer.tolist()
        if eog.intersection(canvas.answer.tolist()):
            break
    answer = text[len(prompt) :][:count]
    stop = next((i for i, token in enumerate(answer) if token in eog), len(answer))
    return answer[:stop]


def run(engine: Engine, prompt: list[int] = PROMPT, seed: int = 1, **more: object) -> Recorder:
    sink = Recorder()
    request = {"max_tokens": 20, "eog": ENDLESS, "sampling": Sampling(seed=seed), **more}
    engine.submit(ask(f"{seed}-{id(sink)}", prompt, sink, **request))  # type: ignore[arg-type]
    return sink


def test_a_sequence_gets_the_blocks_its_own_text_and_seed_call_for() -> None:
    engine, _ = make()
    sinks = [run(engine, seed=seed) for seed in (1, 1, 2)]
    engine.run_until_idle()
    first, again, other = (sink.tokens for sink in sinks)
    assert first == again == expected(PROMPT, 20, 1)
    assert other == expected(PROMPT, 20, 2) != first
    assert [len(block) for block in sinks[0].blocks] == [8, 8, 4]
    stats = sinks[0].stats
    assert sinks[0].reason == "length"
    assert stats is not None
    assert (stats.num_prompt_tokens, stats.num_completion_tokens) == (40, 20)
    assert stats.admitted_ns <= stats.first_token_ns <= stats.finished_ns


def test_every_pass_is_previewed() -> None:
    engine, _ = make()
    sink = run(engine, max_tokens=16)
    engine.run_until_idle()
    assert [(step, num_steps) for _, step, num_steps in sink.previews] == [(1, 3), (2, 3), (3, 3)] * 2
    assert [tokens for tokens, step, _ in sink.previews if step == 3] == sink.blocks


@pytest.mark.parametrize("place", [0, 3, 6])
def test_the_first_end_token_of_a_block_ends_the_answer(place: int) -> None:
    blocks = expected(PROMPT, 2 * C, 1)
    end = blocks[C + place]
    assert end not in blocks[: C + place], "choose another place: the token comes earlier, too"
    engine, _ = make()
    sink = run(engine, max_tokens=100, eog=frozenset({end}))
    engine.run_until_idle()
    assert sink.tokens == blocks[: C + place]
    assert (sink.reason, sink.eog_token) == ("stop", end)


def test_ignoring_the_end_never_picks_it() -> None:
    end = expected(PROMPT, 3, 1)[-1]
    engine, _ = make()
    sink = run(engine, eog=frozenset({end}), sampling=Sampling(seed=1, ignore_eos=True))
    engine.run_until_idle()
    assert len(sink.tokens) == 20
    assert end not in sink.tokens


def test_a_sink_that_has_enough_ends_the_answer() -> None:
    engine, _ = make()
    sink = Recorder(on_token=lambda token: "stop" if len(sink.picked) == 11 else None)
    engine.submit(ask("a", PROMPT, sink, max_tokens=40, eog=ENDLESS, sampling=Sampling(seed=1)))
    engine.run_until_idle()
    assert sink.tokens == expected(PROMPT, 11, 1)
    assert sink.reason == "stop"


def test_the_prompt_is_read_once_and_found_again_by_others() -> None:
    engine, double = make()
    first = run(engine)
    engine.run_until_idle()
    # 40 of the prompt and two blocks as text, nine passes over canvases
    assert double.num_rows == 40 + 2 * C + 9 * C
    second = run(engine, [*PROMPT, *first.tokens[:C], 7, 7], seed=5)
    engine.run_until_idle()
    assert second.num_cached == 40 + C
    assert second.tokens == expected([*PROMPT, *first.tokens[:C], 7, 7], 20, 5)


def test_canvases_of_several_sequences_share_a_step_beside_prompts() -> None:
    engine, double = make(max_rows=32, max_outputs=16)
    sinks = [run(engine, PROMPT[i:], seed=i) for i in range(4)]
    engine.run_until_idle()
    for i, sink in enumerate(sinks):
        assert sink.tokens == expected(PROMPT[i:], 20, i)
    assert (2 * C, 2) in double.steps, "two canvases in one step"
    assert any(rows > 2 * C for rows, _ in double.steps[2:]), "canvases and text in one step"


def test_prompts_and_canvases_that_fill_a_step_take_turns() -> None:
    """Neither a stream of prompts nor a long answer keeps the other out."""
    engine, double = make(max_rows=C, max_outputs=C)
    sinks = [run(engine, PROMPT[i:], seed=i, max_tokens=C) for i in range(3)]
    engine.run_until_idle()
    for i, sink in enumerate(sinks):
        assert sink.tokens == expected(PROMPT[i:], C, i)
    assert all(rows <= C for rows, _ in double.steps)
    assert sinks[0].stats is not None
    assert sinks[2].stats is not None
    assert sinks[0].stats.first_token_ns < sinks[2].stats.first_token_ns


def test_cancelling_takes_effect_within_one_step() -> None:
    engine, double = make()
    sink, kept = run(engine, seed=1), run(engine, seed=2)
    while len(sink.previews) < 2:
        engine._turn()
    engine.cancel(next(iter(engine._by_id)))
    num_steps = len(double.steps)
    engine._turn()
    assert sink.reason == "cancelled"
    assert len(double.steps) == num_steps + 1
    assert len(sink.previews) == 2
    engine.run_until_idle()
    assert kept.tokens == expected(PROMPT, 20, 2)
    assert engine.stats().num_free_pages == engine.stats().num_pages


def test_a_sequence_that_gave_way_goes_on_with_the_same_canvas() -> None:
    engine, _ = make(num_pages=16, max_context=128, max_sequences=3)
    sinks = [run(engine, PROMPT[i : i + 10], seed=i, max_tokens=96) for i in range(3)]
    engine.run_until_idle()
    assert engine.stats().num_preemptions > 0
    for i, sink in enumerate(sinks):
        assert sink.tokens == expected(PROMPT[i : i + 10], 96, i)


def test_a_step_that_fails_costs_only_the_sequence_at_fault() -> None:
    engine, _ = make(bad_tokens=[62])
    bad, good = run(engine, [62, *PROMPT], seed=1), run(engine, seed=2, max_tokens=C)
    engine.run_until_idle()
    assert isinstance(bad.error, NumericalError)
    assert good.tokens == expected(PROMPT, C, 2)


def test_texts_are_pooled_beside_canvases() -> None:
    engine, _ = make()
    sink, pooled = run(engine), engine.embed(PROMPT[:12])
    engine.run_until_idle()
    assert np.linalg.norm(pooled.result(0)) == pytest.approx(1)
    assert sink.tokens == expected(PROMPT, 20, 1)


def test_whole_blocks_must_fit_the_context() -> None:
    engine, _ = make(max_context=56)
    sink = run(engine, max_tokens=100)
    engine.run_until_idle()
    assert (len(sink.tokens), sink.reason) == (16, "length")
    with pytest.raises(
        ContextOverflow, match="has 49 tokens, the context holds 56, and a block of this model"
    ):
        run(engine, [*PROMPT, *range(1, 10)])


def test_limits_that_cannot_hold_a_block_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes 8 rows and as many outputs in one step; .* 64 rows and 4"):
        make(max_outputs=4)


def test_an_end_token_beyond_the_most_tokens_is_not_seen() -> None:
    blocks = expected(PROMPT, C, 1)
    engine, _ = make()
    sink = run(engine, max_tokens=5, eog=frozenset({blocks[5]}) - frozenset(blocks[:5]) or EOG)
    engine.run_until_idle()
    assert (sink.tokens, sink.reason) == (blocks[:5], "length")


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    num_pages=st.sampled_from([8, 10, 40]),
    max_rows=st.sampled_from([C, 20, 64]),
    max_outputs=st.sampled_from([C, 2 * C + 1, 64]),
)
def test_any_schedule(seed: int, num_pages: int, max_rows: int, max_outputs: int) -> None:
    """Whatever comes and goes meanwhile, every sequence gets its own answer, and every page comes back."""
    dice = random.Random(seed)
    engine, _ = make(num_pages=num_pages, max_rows=max_rows, max_outputs=max_outputs, max_context=112)
    jobs: dict[str, tuple[list[int], Recorder]] = {}
    for number in range(dice.randrange(1, 7)):
        earlier = [prompt + sink.tokens for prompt, sink in jobs.values()] or [[]]
        prompt = [*dice.choice(earlier), *(1 + dice.randrange(60) for _ in range(dice.randrange(1, 30)))][:60]
        sink, id = Recorder(), str(number)
        jobs[id] = prompt, sink
        session = dice.choice([None, "s"])
        sampling = Sampling(seed=number)
        engine.submit(ask(id, prompt, sink, max_tokens=30, sampling=sampling, session_id=session))
        for _ in range(dice.randrange(12)):
            engine._turn()
        if dice.random() < 0.2:
            engine.embed(prompt)
        act = dice.choice([engine.cancel, engine.pause, engine.resume])
        act(dice.choice(list(jobs)))
    for id in jobs:
        engine.resume(id)
    engine.run_until_idle()
    engine.check()
    assert engine.stats().num_free_pages == num_pages
    for id, (prompt, sink) in jobs.items():
        wanted = expected(prompt, 30, int(id), EOG)
        assert sink.num_endings == 1
        assert sink.error is None
        assert sink.tokens == (wanted[: len(sink.tokens)] if sink.reason == "cancelled" else wanted)
