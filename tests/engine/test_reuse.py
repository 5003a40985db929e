"""What a sequence takes over from earlier ones, and what it is told of it."""

from __future__ import annotations

import pytest

from jackfield.testing.engines import ENDLESS, Recorder, ask, greedy, make_engine

PROMPT = list(range(1, 41))


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
