"""What a single request, or a few, get from the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jackfield.engine import SampledToken, SequenceRequest
from jackfield.engine.sampling import BareVocabulary
from jackfield.errors import (
    BackendError,
    ContextOverflow,
    JackfieldError,
    NumericalError,
    OutOfMemory,
    RequestError,
    Unavailable,
)
from jackfield.service.events import FinishReason
from jackfield.service.requests import Sampling
from jackfield.testing.engines import EOG, VOCAB_SIZE, Recorder, ask, make_engine
from jackfield.testing.paged_double import expected_greedy, expected_hidden

ENDLESS: frozenset[int] = frozenset()
PROMPT = list(range(1, 41))


def greedy(
    prompt: list[int], count: int, eog: frozenset[int] = ENDLESS, *, recurrent: bool = False
) -> list[int]:
    return expected_greedy(prompt, count, VOCAB_SIZE, eog, is_recurrent=recurrent)


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


# ---- prefixes ----


@pytest.mark.parametrize("num_state_slots", [0, 4])
@pytest.mark.parametrize("prompt_length", [5, 24, 40, 64, 100])
def test_the_next_turn_reuses_nearly_all_that_it_shares(prompt_length: int, num_state_slots: int) -> None:
    engine, double = make_engine(num_state_slots=num_state_slots)
    prompt = [1 + i % 60 for i in range(prompt_length)]
    first, second = Recorder(), Recorder()
    engine.submit(ask("a", prompt, first, max_tokens=20, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    shared = prompt + first.tokens
    double.num_rows = 0
    engine.submit(ask("b", [*shared, 7, 8, 9], second, max_tokens=20, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    assert second.num_cached == len(shared) - 1
    assert second.num_cached >= 0.95 * len(shared)
    assert second.note == ""
    assert double.num_rows == 1 + 3 + 19
    assert second.tokens == greedy([*shared, 7, 8, 9], 20, recurrent=bool(num_state_slots))


@pytest.mark.parametrize("num_state_slots", [0, 4])
def test_the_same_prompt_again_computes_little_and_at_least_one_token(num_state_slots: int) -> None:
    engine, double = make_engine(num_state_slots=num_state_slots)
    sinks = [Recorder(), Recorder()]
    for name, sink in zip("ab", sinks, strict=True):
        double.num_rows = 0
        engine.submit(ask(name, PROMPT, sink, max_tokens=5, eog=ENDLESS))
        engine.run_until_idle()
    expected = len(PROMPT) - 1 if not num_state_slots else 32
    assert sinks[1].num_cached == expected
    assert double.num_rows == len(PROMPT) - expected + 4
    assert sinks[0].tokens == sinks[1].tokens


def test_recurrent_prompts_are_reused_from_where_earlier_ones_parted() -> None:
    engine, _ = make_engine(num_state_slots=8, page_size=16)
    system = [1 + i % 50 for i in range(50)]
    cached: list[int] = []
    for name in "abc":
        sink = Recorder()
        question = [60, 61, ord(name) % 60, *range(1, 60)]
        engine.submit(ask(name, system + question, sink, max_tokens=4, eog=ENDLESS))
        engine.run_until_idle()
        assert sink.tokens == greedy(system + question, 4, recurrent=True)
        cached.append(sink.num_cached)
    assert cached == [0, 0, 48]


def test_a_fresh_start_is_computed_whole_and_reports_nothing_cached() -> None:
    engine, double = make_engine()
    for name in "ab":
        sink = Recorder()
        double.num_rows = 0
        engine.submit(ask(name, PROMPT, sink, max_tokens=2, eog=ENDLESS, use_cache=False, session_id="s"))
        engine.run_until_idle()
        assert sink.num_cached == 0
        assert sink.note == "the request asked for a fresh start"
        assert double.num_rows == 41


def test_other_salts_get_nothing() -> None:
    engine, _ = make_engine()
    sinks = [Recorder() for _ in range(3)]
    for name, salt, sink in zip("abc", ["x", "y", "x"], sinks, strict=True):
        engine.submit(ask(name, PROMPT, sink, cache_salt=salt))
        engine.run_until_idle()
    assert [sink.num_cached for sink in sinks] == [0, 0, 39]


def test_the_note_names_the_first_token_that_differs() -> None:
    engine, _ = make_engine()
    first, second, third, fourth = (Recorder() for _ in range(4))
    engine.submit(ask("a", PROMPT, first, max_tokens=4, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    assert first.note == ""
    changed = [*PROMPT[:20], 63, *PROMPT[21:]]
    engine.submit(ask("b", changed, second, max_tokens=4, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    assert second.num_cached == 20
    assert second.note == (
        "the prompt differs from the session's 43 tokens at index 20: token 63 instead of 21"
    )
    engine.submit(ask("c", changed[:30], third, max_tokens=4, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    assert third.note == ""
    engine.submit(ask("d", changed[:12], fourth, max_tokens=4, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    assert fourth.note == ""


def test_the_note_tells_of_eviction() -> None:
    engine, _ = make_engine(num_pages=8)
    first, other, second = (Recorder() for _ in range(3))
    engine.submit(ask("a", PROMPT, first, max_tokens=2, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    engine.submit(ask("b", [50] * 120, other, max_tokens=2, eog=ENDLESS))
    engine.run_until_idle()
    engine.submit(ask("c", PROMPT, second, max_tokens=2, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    assert second.num_cached < 39
    assert second.note is not None
    assert "can be reused now" in second.note


def test_choices_of_one_prompt_share_its_computation() -> None:
    engine, double = make_engine()
    sinks = [Recorder() for _ in range(4)]
    for name, sink in zip("abcd", sinks, strict=True):
        engine.submit(ask(name, PROMPT, sink, max_tokens=3, eog=ENDLESS))
    engine.run_until_idle()
    assert double.num_rows == 40 + 3 * 1 + 4 * 2
    assert len({tuple(sink.tokens) for sink in sinks}) == 1


def test_a_forgotten_session_leaves_no_pages() -> None:
    engine, _ = make_engine()
    keep, drop = Recorder(), Recorder()
    engine.submit(ask("a", PROMPT[:16], keep, max_tokens=2, eog=ENDLESS))
    engine.submit(ask("b", PROMPT, drop, max_tokens=20, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    before = engine.stats().num_cached_tokens
    engine.forget_session("s")
    engine.run_until_idle()
    assert engine.stats().num_cached_tokens < before
    probe = Recorder()
    engine.submit(ask("c", PROMPT, probe, max_tokens=1))
    engine.run_until_idle()
    assert probe.num_cached <= 16
    engine.check()


def test_a_session_forgotten_while_it_runs_is_not_remembered() -> None:
    engine, _ = make_engine()
    first, second = Recorder(), Recorder()
    first.on_token = lambda token: engine.forget_session("s")
    engine.submit(ask("a", PROMPT, first, max_tokens=3, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    engine.submit(ask("b", [63, *PROMPT], second, max_tokens=3, eog=ENDLESS, session_id="s"))
    engine.run_until_idle()
    assert second.note == ""


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


# ---- cancelling and failing ----


@pytest.mark.parametrize("num_turns", [0, 1, 2, 5])
def test_cancelling_ends_a_sequence_within_a_step(num_turns: int) -> None:
    engine, double = make_engine(max_rows=32)
    sink = Recorder()
    engine.submit(ask("a", PROMPT, sink, max_tokens=50, eog=ENDLESS))
    for _ in range(num_turns):
        engine._turn()
    rows = double.num_rows
    engine.cancel("a")
    engine.run_until_idle()
    assert sink.reason == "cancelled"
    assert double.num_rows == rows
    assert engine.stats().num_free_pages == 64
    engine.check()


def test_a_token_picked_after_cancelling_is_not_passed() -> None:
    engine, _ = make_engine()
    victim = Recorder()
    bystander = Recorder(on_token=lambda token: engine.cancel("victim"))
    engine.submit(ask("bystander", PROMPT, bystander, max_tokens=3, eog=ENDLESS))
    engine.submit(ask("victim", PROMPT[::-1], victim, max_tokens=50, eog=ENDLESS))
    engine.run_until_idle()
    assert (victim.reason, victim.tokens) == ("cancelled", [])
    assert bystander.tokens == greedy(PROMPT, 3)


def test_cancelling_what_does_not_exist_is_nothing() -> None:
    engine, _ = make_engine()
    engine.cancel("nobody")
    engine.run_until_idle()


def test_logits_that_are_not_finite_fail_that_request_only() -> None:
    engine, _ = make_engine(bad_tokens=[63])
    good, bad = Recorder(), Recorder()
    engine.submit(ask("good", PROMPT, good, max_tokens=8, eog=ENDLESS))
    engine.submit(ask("bad", [1, 2, 63, *range(1, 40)], bad, max_tokens=8, eog=ENDLESS))
    engine.run_until_idle()
    assert isinstance(bad.error, NumericalError)
    assert "not finite" in bad.error.message
    assert good.tokens == greedy(PROMPT, 8)
    assert engine.stats().num_free_pages == 64


def test_a_failed_sequence_leaves_nothing_in_the_cache() -> None:
    engine, _ = make_engine(bad_tokens=[63])
    prompt = [*range(1, 35), 63]
    engine.submit(ask("bad", prompt, Recorder()))
    engine.run_until_idle()
    assert engine.stats().num_cached_tokens == 0


@pytest.mark.parametrize("num_state_slots", [0, 4])
def test_a_failing_step_costs_only_the_sequence_that_is_at_fault(num_state_slots: int) -> None:
    engine, _ = make_engine(fatal_tokens=[63], num_state_slots=num_state_slots)
    good, bad = Recorder(), Recorder()
    engine.submit(ask("good", PROMPT, good, max_tokens=8, eog=ENDLESS))
    engine.submit(ask("bad", [1, 2, 63], bad, max_tokens=8, eog=ENDLESS))
    engine.run_until_idle()
    assert isinstance(bad.error, BackendError)
    assert bad.error.message == "a kernel failed"
    assert good.tokens == greedy(PROMPT, 8, recurrent=bool(num_state_slots))
    engine.check()


def test_sequences_that_are_cleared_run_together_again() -> None:
    engine, double = make_engine(fatal_tokens=[63])
    for name, prompt in ("a", [1, 2]), ("b", [3, 4]), ("bad", [63]):
        engine.submit(ask(name, prompt, Recorder(), max_tokens=12, eog=ENDLESS))
    engine.run_until_idle()
    assert max(num_sequences for _, num_sequences in double.steps) == 2


@pytest.mark.parametrize(("raised", "expected"), [(MemoryError, OutOfMemory), (ValueError, BackendError)])
@pytest.mark.parametrize("operation", ["copy_page", "copy_state", "clear_state", "step"])
def test_a_backend_that_raises_anywhere_fails_one_request(
    operation: str, raised: type[Exception], expected: type[BackendError], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, double = make_engine(num_state_slots=4)
    engine.submit(ask("first", PROMPT, Recorder(), max_tokens=4, eog=ENDLESS))
    engine.run_until_idle()

    def fail(*arguments: object) -> None:
        raise raised("out of order")

    sinks = [Recorder(), Recorder()]
    with monkeypatch.context() as patch:
        patch.setattr(double, operation, fail)
        engine.submit(ask("hit", [*PROMPT, 7], sinks[0], max_tokens=4, eog=ENDLESS))
        engine.submit(ask("new", [9] * 20, sinks[1], max_tokens=4, eog=ENDLESS))
        engine.run_until_idle()
    errors = [sink.error for sink in sinks if sink.error is not None]
    assert errors
    assert all(type(error) is expected for error in errors)
    last = Recorder()
    engine.submit(ask("last", PROMPT, last, max_tokens=4, eog=ENDLESS))
    engine.run_until_idle()
    assert last.tokens == greedy(PROMPT, 4, recurrent=True)
    assert engine.stats().num_free_pages == 64


def test_a_step_that_fails_while_decoding_is_isolated_too() -> None:
    prompts = [[4] * 20, [2] * 20, [3] * 20]
    texts = [greedy(prompt, 12, recurrent=True) for prompt in prompts]
    own = set(texts[0][3:11]) - {*texts[1], *texts[2], *texts[0][:3]}
    assert own, "the double's texts leave nothing to test with"
    engine, _ = make_engine(fatal_tokens=[min(own)], num_state_slots=8)
    sinks = [Recorder() for _ in prompts]
    for name, prompt, sink in zip("abc", prompts, sinks, strict=True):
        engine.submit(ask(name, prompt, sink, max_tokens=12, eog=ENDLESS))
    engine.run_until_idle()
    assert isinstance(sinks[0].error, BackendError)
    assert sinks[1].tokens == texts[1]
    assert sinks[2].tokens == texts[2]


def test_a_raising_sink_fails_its_own_sequence_only() -> None:
    engine, _ = make_engine()

    def explode(token: SampledToken) -> FinishReason | None:
        raise ValueError("secret detail")

    bad, good = Recorder(on_token=explode), Recorder()
    engine.submit(ask("bad", PROMPT, bad, eog=ENDLESS))
    engine.submit(ask("good", PROMPT, good, max_tokens=5, eog=ENDLESS))
    engine.run_until_idle()
    assert isinstance(bad.error, BackendError)
    assert "secret" not in bad.error.message
    assert good.tokens == greedy(PROMPT, 5)


def test_logits_of_the_wrong_shape_are_an_error_not_a_crash() -> None:
    engine, _ = make_engine(vocab_size=VOCAB_SIZE + 1)
    sink = Recorder()
    engine.submit(ask("a", [1], sink))
    engine.run_until_idle()
    assert isinstance(sink.error, BackendError)
    assert "logits of shape (1, 64), expected (1, 65)" in sink.error.message


def test_a_paused_sequence_rests_while_others_run() -> None:
    engine, _ = make_engine()
    slow, quick = Recorder(), Recorder()
    engine.submit(ask("slow", PROMPT, slow, max_tokens=10, eog=ENDLESS))
    engine._turn()
    engine.submit(ask("quick", PROMPT[::-1], quick, max_tokens=10, eog=ENDLESS))
    engine.pause("slow")
    engine.run_until_idle()
    assert len(slow.tokens) == 1
    assert quick.reason == "length"
    engine.resume("slow")
    engine.run_until_idle()
    assert slow.tokens == greedy(PROMPT, 10)


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
