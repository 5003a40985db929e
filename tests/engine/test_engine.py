"""What a single request, or a few, get from the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jackfield.engine import SequenceRequest
from jackfield.engine.sampling import BareVocabulary
from jackfield.errors import (
    ContextOverflow,
    JackfieldError,
    RequestError,
    Unavailable,
)
from jackfield.service.requests import Sampling
from jackfield.testing.engines import ENDLESS, EOG, VOCAB_SIZE, Recorder, ask, greedy, make_engine
from jackfield.testing.paged_double import expected_hidden

PROMPT = list(range(1, 41))


@pytest.mark.parametrize("num_state_slots", [0, 8])
def test_a_sequence_gets_the_tokens_its_own_text_calls_for(num_state_slots: int) -> None:
    engine, _ = make_engine(num_state_slots=num_state_slots)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=30, eog=ENDLESS))
    engine.run_until_idle()
    assert sink.tokens == greedy(PROMPT, 30, recurrent=bool(num_state_slots))
    assert sink.reason == "length"
    assert sink.stats is not None
    assert sink.stats.num_prompt_tokens == 40
    assert sink.stats.num_completion_tokens == 30
    assert (
        sink.stats.submitted_ns
        <= sink.stats.admitted_ns
        <= sink.stats.first_token_ns
        <= sink.stats.finished_ns
    )


def test_an_end_of_generation_token_ends_and_is_not_passed() -> None:
    engine, _ = make_engine()
    text = greedy(PROMPT, 10)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, eog=frozenset({text[4]})))
    engine.run_until_idle()
    assert sink.tokens == text[: text.index(text[4])]
    assert (sink.reason, sink.eog_token) == ("stop", text[4])


def test_ignore_eos_goes_on_without_ever_picking_it() -> None:
    engine, _ = make_engine()
    text = greedy(PROMPT, 10)
    sink = Recorder()
    eog = frozenset({text[4]})
    engine.submit(ask("a", PROMPT, sink, eog=eog, sampling=Sampling(ignore_eos=True), max_tokens=12))
    engine.run_until_idle()
    assert len(sink.tokens) == 12
    assert text[4] not in sink.tokens


def test_the_sink_can_finish_the_sequence() -> None:
    engine, _ = make_engine()
    sink = Recorder(on_token=lambda token: "tool_calls" if len(sink.picked) == 3 else None)
    engine.submit(ask("a", PROMPT, sink, eog=ENDLESS))
    engine.run_until_idle()
    assert (len(sink.picked), sink.reason) == (3, "tool_calls")


def test_the_context_is_never_exceeded() -> None:
    engine, _ = make_engine(max_context=48)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=1000, eog=ENDLESS))
    engine.run_until_idle()
    assert (len(sink.tokens), sink.reason) == (8, "length")


def test_too_few_pages_shorten_the_context() -> None:
    engine, _ = make_engine(num_pages=3, page_size=16)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=1000, eog=ENDLESS))
    engine.run_until_idle()
    assert (len(sink.tokens), sink.reason) == (8, "length")


def test_a_prompt_without_room_for_a_token_is_refused_with_figures() -> None:
    engine, _ = make_engine(max_context=40)
    with pytest.raises(ContextOverflow, match="40 tokens, the context holds 40") as caught:
        engine.submit(ask("a", PROMPT, Recorder()))
    assert caught.value.numbers == {"n_prompt": 40, "n_ctx": 40}


@pytest.mark.parametrize("bad", [-1, VOCAB_SIZE, 2**31, 2**63, -(2**70)])
def test_ids_outside_the_vocabulary_never_reach_the_backend(bad: int) -> None:
    engine, double = make_engine()
    with pytest.raises(RequestError, match="expected token ids from 0 to 63") as caught:
        engine.submit(ask("a", [1, bad], Recorder()))
    assert caught.value.param == "prompt"
    with pytest.raises(RequestError, match="logit_bias is"):
        engine.submit(ask("b", [1], Recorder(), sampling=Sampling(logit_bias={bad: 1.0})))
    with pytest.raises(RequestError, match="input is"):
        engine.embed([bad])
    sink = Recorder()
    engine.submit(ask("c", [1], sink, eog=frozenset({bad}), suppressed=frozenset({bad}), max_tokens=2))
    engine.run_until_idle()
    assert sink.reason == "length"
    assert double.num_rows == 2


def test_an_empty_prompt_and_no_tokens_are_refused() -> None:
    engine, _ = make_engine()
    with pytest.raises(RequestError, match="prompt has no tokens"):
        engine.submit(ask("a", [], Recorder()))
    with pytest.raises(RequestError, match="max_tokens is 0; expected at least 1"):
        engine.submit(ask("a", [1], Recorder(), max_tokens=0))


def test_an_id_in_use_is_refused_and_free_again_afterwards() -> None:
    engine, _ = make_engine()
    engine.submit(ask("a", PROMPT, Recorder()))
    with pytest.raises(RequestError, match="a sequence with id 'a' is running"):
        engine.submit(ask("a", PROMPT, Recorder()))
    engine.run_until_idle()
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink))
    engine.run_until_idle()
    assert sink.reason is not None


def test_padding_beyond_the_vocabulary_is_never_picked() -> None:
    text = greedy(PROMPT, 20)
    assert max(text) >= 40
    engine, _ = make_engine(vocabulary=BareVocabulary(41))
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=20, eog=ENDLESS))
    engine.run_until_idle()
    assert len(sink.tokens) == 20
    assert max(sink.tokens) <= 40


# ---- pages ----


def test_running_out_of_pages_delays_but_never_fails() -> None:
    engine, _ = make_engine(num_pages=24, page_size=16, max_sequences=4)
    jobs = [([10 + i] * 20, Recorder()) for i in range(6)]
    for i, (prompt, sink) in enumerate(jobs):
        engine.submit(ask(str(i), prompt, sink, max_tokens=200, eog=ENDLESS))
    engine.run_until_idle()
    assert engine.stats().num_preemptions > 0
    for prompt, sink in jobs:
        assert sink.tokens == greedy(prompt, 200)
    assert engine.stats().num_free_pages == 24


def test_the_oldest_sequence_is_never_the_one_that_gives_way() -> None:
    engine, double = make_engine(num_pages=24, page_size=16, max_sequences=4)
    sinks = [Recorder() for _ in range(4)]
    for i, sink in enumerate(sinks):
        engine.submit(ask(str(i), [10 + i] * 20, sink, max_tokens=200, eog=ENDLESS))
    while not sinks[0].num_endings:
        engine._turn()
    assert engine.stats().num_preemptions > 0
    assert len(double.steps) <= 2 + 200
    engine.run_until_idle()
    assert [len(sink.tokens) for sink in sinks] == [200] * 4


def test_a_sequence_that_needs_every_page_gets_them() -> None:
    engine, _ = make_engine(num_pages=4, page_size=16)
    for name, tail in ("a", 1), ("b", 2), ("c", 3):
        sink = Recorder()
        prompt = [*range(1, 30), tail]
        engine.submit(ask(name, prompt, sink, max_tokens=34, eog=ENDLESS))
        engine.run_until_idle()
        assert sink.tokens == greedy(prompt, 34)


@pytest.mark.parametrize("num_state_slots", [1, 2, 3])
def test_few_state_slots_still_serve_everybody(num_state_slots: int) -> None:
    engine, _ = make_engine(num_state_slots=num_state_slots)
    jobs = [([*PROMPT[:20], 40 + i], Recorder()) for i in range(5)]
    for i, (prompt, sink) in enumerate(jobs):
        engine.submit(ask(str(i), prompt, sink, max_tokens=6, eog=ENDLESS))
    engine.run_until_idle()
    for prompt, sink in jobs:
        assert sink.tokens == greedy(prompt, 6, recurrent=True)


# ---- steps ----


def test_a_long_prompt_does_not_silence_a_decoding_sequence() -> None:
    engine, double = make_engine(max_rows=32, max_context=512, num_pages=64)
    talker, reader = Recorder(), Recorder()
    engine.submit(ask("talker", PROMPT, talker, max_tokens=60, eog=ENDLESS))
    for _ in range(5):
        engine._turn()
    before = len(talker.tokens)
    engine.submit(ask("reader", [5] * 300, reader, max_tokens=2, eog=ENDLESS))
    num_steps = 0
    while not reader.tokens:
        engine._turn()
        num_steps += 1
    assert num_steps >= 9
    assert len(talker.tokens) == before + num_steps
    assert all(rows <= 32 for rows, _ in double.steps)


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    engine, _ = make_engine(max_rows=32)
    long, short = Recorder(), Recorder()
    engine.submit(ask("long", [5] * 400, long, max_tokens=2, eog=ENDLESS))
    engine._turn()
    engine.submit(ask("short", [6] * 10, short, max_tokens=2, eog=ENDLESS))
    engine._turn()
    assert len(short.tokens) == 1
    engine.run_until_idle()
    assert long.tokens == greedy([5] * 400, 2)


def test_places_in_the_queue_are_told_on_every_change() -> None:
    engine, _ = make_engine(max_sequences=1)
    sinks = [Recorder() for _ in range(3)]
    for name, sink in zip("abc", sinks, strict=True):
        engine.submit(ask(name, PROMPT, sink, max_tokens=3, eog=ENDLESS))
    engine._turn()
    assert [sink.places for sink in sinks] == [[], [(1, 2)], [(2, 2)]]
    engine.run_until_idle()
    assert [sink.places for sink in sinks] == [[], [(1, 2)], [(2, 2), (1, 1)]]


# ---- pooling ----


def test_embedding_is_the_normalised_mean_of_the_hidden_rows() -> None:
    engine, _ = make_engine(max_rows=32, max_outputs=16)
    talker = Recorder()
    engine.submit(ask("talker", PROMPT, talker, max_tokens=20, eog=ENDLESS))
    futures = [engine.embed(PROMPT), engine.embed([7])]
    engine.run_until_idle()
    rows = [expected_hidden(PROMPT[:i]) for i in range(1, 41)]
    mean = np.mean(rows, axis=0, dtype=np.float64)
    np.testing.assert_allclose(futures[0].result(0), mean / np.linalg.norm(mean), rtol=1e-5)
    alone = expected_hidden([7])
    np.testing.assert_allclose(futures[1].result(0), alone / np.linalg.norm(alone), rtol=1e-5)
    assert talker.tokens == greedy(PROMPT, 20)


def test_pooling_survives_preemption() -> None:
    engine, _ = make_engine(num_pages=8, page_size=16, max_rows=16, max_outputs=8)
    talker = Recorder()
    engine.submit(ask("talker", PROMPT[:20], talker, max_tokens=100, eog=ENDLESS))
    future = engine.embed([1 + i % 60 for i in range(90)])
    engine.run_until_idle()
    rows = [expected_hidden([1 + i % 60 for i in range(90)][:n]) for n in range(1, 91)]
    mean = np.mean(rows, axis=0, dtype=np.float64)
    np.testing.assert_allclose(future.result(0), mean / np.linalg.norm(mean), rtol=1e-5)
    assert talker.tokens == greedy(PROMPT[:20], 100)


def test_a_cancelled_embedding_returns_its_pages() -> None:
    engine, _ = make_engine(max_rows=16)
    future = engine.embed(PROMPT)
    engine._turn()
    assert future.cancel()
    engine.run_until_idle()
    assert engine.stats().num_free_pages == 64
    engine.check()


# ---- starting and stopping ----


def test_stopping_refuses_new_ones_and_fails_the_rest() -> None:
    engine, _ = make_engine(max_sequences=1)
    sinks = [Recorder(), Recorder()]
    engine.submit(ask("a", PROMPT, sinks[0], max_tokens=50, eog=ENDLESS))
    engine.submit(ask("b", PROMPT, sinks[1], max_tokens=50, eog=ENDLESS))
    engine._turn()
    engine.stop()
    for sink in sinks:
        assert isinstance(sink.error, Unavailable)
        assert sink.error.retry_after_s is not None
    with pytest.raises(Unavailable, match="stopping"):
        engine.submit(ask("c", PROMPT, Recorder()))
    engine.check()


def errors_of(request: SequenceRequest) -> JackfieldError | None:
    engine, _ = make_engine()
    try:
        engine.submit(request)
    except JackfieldError as error:
        return error
    return None


@pytest.mark.parametrize("max_tokens", [-1, 0])
def test_a_request_for_no_tokens_is_refused(max_tokens: int) -> None:
    request = replace(ask("a", [1], Recorder(), eog=EOG), max_tokens=max_tokens)
    assert isinstance(errors_of(request), RequestError)
