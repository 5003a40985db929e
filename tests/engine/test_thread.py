"""The engine on its own thread: calls from anywhere, an answer for everybody, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.backend import Limits, Step
from jackfield.engine import Engine, SampledToken
from jackfield.errors import BackendError, Unavailable
from jackfield.service.events import FinishReason
from jackfield.testing.engines import ENDLESS, VOCAB_SIZE, Recorder, ask, make_engine
from jackfield.testing.paged_double import PagedDouble, expected_greedy

PATIENCE_S = 20.0


class Gate(PagedDouble):
    """Every step waits to be let through, once the gate is closed."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, VOCAB_SIZE)
        self.opened = threading.Event()
        self.opened.set()
        self.waiting = threading.Event()

    def step(self, step: Step) -> npt.NDArray[np.float32]:
        self.waiting.set()
        assert self.opened.wait(PATIENCE_S)
        return super().step(step)


def gated() -> tuple[Engine, Gate]:
    limits = Limits(num_pages=64, page_size=16, max_rows=64, max_outputs=16, max_sequences=2, max_context=512)
    gate = Gate(limits)
    engine = Engine(gate, limits, vocab_size=VOCAB_SIZE, context_length=512, is_recurrent=False)
    return engine, gate


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.001)


def test_many_threads_get_their_own_answers() -> None:
    engine, _ = make_engine(max_sequences=4)
    engine.start()
    failures: list[str] = []

    def client(number: int) -> None:
        for turn in range(6):
            prompt = [1 + (number * 7 + turn * 3 + i) % 60 for i in range(5 + number)]
            sink = Recorder()
            engine.submit(ask(f"{number}-{turn}", prompt, sink, max_tokens=10))
            if turn % 3 == 2:
                engine.cancel(f"{number}-{turn}")
            if not sink.over.wait(PATIENCE_S):
                failures.append("an answer never ended")
            wanted = expected_greedy(prompt, 10, VOCAB_SIZE, frozenset({0}))
            if sink.tokens != (wanted if sink.reason != "cancelled" else wanted[: len(sink.tokens)]):
                failures.append(f"{sink.tokens} is not {wanted}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    engine.stop()
    assert not failures
    engine.check()
    assert engine.stats().num_processed == 48


def test_an_idle_engine_answers_at_once_and_shows_that_it_lives() -> None:
    engine, _ = make_engine()
    engine.start()
    time.sleep(0.05)
    sink = Recorder()
    engine.submit(ask("a", [1, 2], sink, max_tokens=2, eog=ENDLESS))
    assert sink.over.wait(PATIENCE_S)
    before = engine._heartbeat_ns
    until(lambda: engine._heartbeat_ns > before)
    engine.stop()


def test_a_hung_step_shows_in_the_heartbeat() -> None:
    engine, gate = gated()
    gate.opened.clear()
    engine.start()
    engine.submit(ask("a", [1, 2], Recorder()))
    assert gate.waiting.wait(PATIENCE_S)
    until(lambda: engine.stats().heartbeat_age_s > 0.05)
    gate.opened.set()
    until(lambda: engine.stats().heartbeat_age_s < 0.05 or engine.stats().num_processed == 1)
    engine.stop()


def test_draining_lets_running_ones_finish_and_refuses_the_queue() -> None:
    engine, gate = gated()
    gate.opened.clear()
    engine.start()
    running, queued = [Recorder(), Recorder()], Recorder()
    for name, sink in zip("ab", running, strict=True):
        engine.submit(ask(name, [1, 2, ord(name) % 60], sink, max_tokens=30, eog=ENDLESS))
    assert gate.waiting.wait(PATIENCE_S)
    engine.submit(ask("c", [5], queued, max_tokens=30, eog=ENDLESS))
    stopper = threading.Thread(target=engine.stop, args=(PATIENCE_S,))
    stopper.start()
    until(lambda: engine._deadline_s is not None)
    with pytest.raises(Unavailable, match="the engine is stopping"):
        engine.submit(ask("d", [1], Recorder()))
    gate.opened.set()
    stopper.join(PATIENCE_S)
    ended = {"length"} if running[1].stats is not None else {"length", None}
    assert {sink.reason for sink in running} <= ended
    assert running[0].reason == "length"
    assert isinstance(queued.error, Unavailable)
    assert queued.error.retry_after_s is not None


def test_the_drain_has_an_end() -> None:
    engine, gate = gated()
    slow = Recorder(on_token=lambda token: time.sleep(0.01))
    engine.start()
    engine.submit(ask("a", [1], slow, max_tokens=400, eog=ENDLESS))
    assert gate.waiting.wait(PATIENCE_S)
    engine.stop(0.05)
    assert isinstance(slow.error, Unavailable)
    assert len(slow.tokens) < 400
    engine.check()


def test_a_paused_sequence_does_not_outlive_the_drain() -> None:
    engine, _ = gated()
    sink = Recorder()
    engine.start()
    engine.submit(ask("a", [1], sink, max_tokens=500, eog=ENDLESS))
    engine.pause("a")
    until(lambda: sink.stats is not None)
    engine.stop(0.05)
    assert isinstance(sink.error, Unavailable)


def test_an_engine_that_dies_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = gated()

    def broken() -> None:
        raise ZeroDivisionError("our own bug")

    sinks = [Recorder(), Recorder(), Recorder()]
    for name, sink in zip("abc", sinks, strict=True):
        engine.submit(ask(name, [1], sink, eog=ENDLESS))
    future = engine.embed([1, 2])
    monkeypatch.setattr(engine._scheduler, "plan", broken)
    engine.start()
    for sink in sinks:
        assert sink.over.wait(PATIENCE_S)
        assert isinstance(sink.error, Unavailable)
    with pytest.raises(Unavailable):
        future.result(PATIENCE_S)
    assert "ZeroDivisionError" in engine.stats().failure
    with pytest.raises(Unavailable, match="the engine died"):
        engine.submit(ask("d", [1], Recorder()))
    engine.stop()


def test_a_sink_that_ends_the_engine_from_its_own_call_is_served() -> None:
    engine, _ = gated()

    def cancel_itself(token: SampledToken) -> FinishReason | None:
        engine.cancel("a")
        return None

    sink = Recorder(on_token=cancel_itself)
    engine.start()
    engine.submit(ask("a", [1], sink, max_tokens=100, eog=ENDLESS))
    assert sink.over.wait(PATIENCE_S)
    assert (sink.reason, len(sink.tokens)) == ("cancelled", 1)
    engine.stop()


def test_an_error_of_the_backend_reaches_a_pooling_future() -> None:
    engine, _ = make_engine(fatal_tokens=[9])
    engine.start()
    with pytest.raises(BackendError, match="a kernel failed"):
        engine.embed([9]).result(PATIENCE_S)
    engine.stop()
