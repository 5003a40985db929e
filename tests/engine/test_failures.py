"""A sequence that is cancelled or fails leaves nothing behind and harms no other."""

from __future__ import annotations

import pytest

from jackfield.engine import SampledToken
from jackfield.errors import (
    BackendError,
    NumericalError,
    OutOfMemory,
)
from jackfield.service.events import FinishReason
from jackfield.testing.engines import ENDLESS, VOCAB_SIZE, Recorder, ask, greedy, make_engine

PROMPT = list(range(1, 41))


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
