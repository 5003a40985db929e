"""The engine over real programs: batching, chunks and reused prefixes do not change a text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jackfield.backend import Limits
from jackfield.engine import Engine
from jackfield.engine.contract import SampledToken
from jackfield.engine.drafting import MakeDrafter, PromptLookup
from jackfield.engine.loading import LoadedModel, limits_for, load_model
from jackfield.host import Host
from jackfield.program import Program
from jackfield.testing.engines import ENDLESS, Recorder, ask
from jackfield.testing.tiny import make_checkpoint

# plain attention, sliding windows, shared caches, and layers with convolution and recurrent state
FAMILIES = {"llama": 2, "gemma3": 6, "gemma4": 6, "nemotron_h_moe": 4, "qwen3next": 4}
ON_CPU = ("gemma3", "gemma4", "nemotron_h_moe", "qwen3next")
"""Families that run on the cpu backend too."""
MODELS = [
    *(pytest.param((family, "reference"), id=family) for family in FAMILIES),
    *(pytest.param((family, "cpu"), id=f"{family}-cpu", marks=pytest.mark.jit) for family in ON_CPU),
]
DICE = np.random.default_rng(5)
PROMPTS = [DICE.integers(5, 380, size).tolist() for size in (70, 9, 33, 1, 48)]
NUM_TOKENS = 12


class Bench:
    """A loaded model, and engines over it that check their books."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def engine(self, make_drafter: MakeDrafter | None = None, **changes: Any) -> Engine:
        """Return an engine, which owns every page from now on: earlier ones are done with.

        Its steps take no time, so that every guess of a drafter is verified.
        """
        limits = replace(self._model.limits, **changes)
        program = self._model.program
        return Engine(
            self._model.executable,
            limits,
            vocab_size=program.vocab_size,
            context_length=limits.max_context,
            is_recurrent=program.is_recurrent,
            make_drafter=make_drafter,
            check_invariants=True,
            clock=lambda: 0.0,
        )

    def texts(self, engine: Engine, prompts: list[list[int]]) -> list[list[int]]:
        sinks = [Recorder() for _ in prompts]
        for number, (prompt, sink) in enumerate(zip(prompts, sinks, strict=True)):
            engine.submit(ask(str(number), prompt, sink, max_tokens=NUM_TOKENS, eog=ENDLESS))
        engine.run_until_idle()
        assert [sink.error for sink in sinks] == [None] * len(sinks)
        return [sink.tokens for sink in sinks]

    def alone(self, prompt: list[int]) -> list[int]:
        return self.texts(self.engine(), [prompt])[0]


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


@pytest.fixture(scope="module", params=MODELS)
def bench(
    request: pytest.FixtureRequest, host: Host, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    family, backend = request.param
    path = make_checkpoint(tmp_path_factory.mktemp("models") / "m.gguf", family, num_layers=FAMILIES[family])
    with ExitStack() as stack:
        yield Bench(stack.enter_context(load_model(Path(path), host, backend, small_limits)))


def small_limits(program: Program) -> Limits:
    limits = limits_for(program, 128, num_sequences=5, page_size=16, kv_type="f32")
    return replace(limits, num_state_slots=12 if program.is_recurrent else 0, max_outputs=64)


def test_a_batch_gives_each_sequence_the_text_it_has_alone(bench: Bench) -> None:
    assert bench.texts(bench.engine(), PROMPTS) == [bench.alone(prompt) for prompt in PROMPTS]


def test_guesses_right_and_wrong_do_not_change_a_text(bench: Bench) -> None:
    """A prompt that repeats itself is guessed to go on so, which random weights rarely do."""
    prompts = [(prompt * 3)[:90] for prompt in PROMPTS]
    engine = bench.engine(PromptLookup)
    assert bench.texts(engine, prompts) == [bench.alone(prompt) for prompt in prompts]


def test_chunks_of_a_prompt_give_the_text_of_the_whole(bench: Bench) -> None:
    assert bench.texts(bench.engine(max_rows=16), PROMPTS) == [bench.alone(prompt) for prompt in PROMPTS]


def test_running_out_of_pages_does_not_change_a_text(bench: Bench) -> None:
    engine = bench.engine(num_pages=8)
    prompts = [prompt[:40] for prompt in PROMPTS]
    assert bench.texts(engine, prompts) == [bench.alone(prompt) for prompt in prompts]


def cancelling(engine: Engine, request_id: str, after: int) -> Recorder:
    """Return a sink that cancels a request at its own ``after``-th token."""
    sink = Recorder()

    def count(token: SampledToken) -> None:
        if len(sink.picked) == after:
            engine.cancel(request_id)

    sink.on_token = count
    return sink


def test_cancelled_sequences_leave_the_others_alone(bench: Bench) -> None:
    """The longest is cancelled in its prompt, another in its answer, both by a third one's tokens."""
    engine = bench.engine(max_rows=16)
    sinks = [Recorder() for _ in PROMPTS]
    sinks[3] = cancelling(engine, "0", after=1)
    sinks[1] = cancelling(engine, "1", after=4)
    for number, (prompt, sink) in enumerate(zip(PROMPTS, sinks, strict=True)):
        engine.submit(ask(str(number), prompt, sink, max_tokens=NUM_TOKENS, eog=ENDLESS))
    engine.run_until_idle()
    assert [sink.reason for sink in sinks[:2]] == ["cancelled"] * 2
    for sink, prompt in zip(sinks, PROMPTS, strict=True):
        expected = bench.alone(prompt)
        assert sink.tokens == (expected if sink.reason == "length" else expected[: len(sink.tokens)])


def test_a_cancelled_text_can_be_asked_for_again(bench: Bench) -> None:
    engine = bench.engine(max_rows=16)
    cancelled, again = cancelling(engine, "first", after=3), Recorder()
    engine.submit(ask("first", PROMPTS[0], cancelled, max_tokens=NUM_TOKENS, eog=ENDLESS))
    engine.run_until_idle()
    engine.submit(ask("again", PROMPTS[0], again, max_tokens=NUM_TOKENS, eog=ENDLESS))
    engine.run_until_idle()
    assert 0 < again.num_cached < len(PROMPTS[0])
    assert again.tokens == bench.alone(PROMPTS[0])


def test_a_reused_prefix_gives_the_text_of_a_fresh_start(bench: Bench) -> None:
    engine, text = bench.engine(), PROMPTS[4]
    turns: list[tuple[list[int], Recorder]] = []
    for turn in range(3):
        sink = Recorder()
        engine.submit(ask(str(turn), text, sink, max_tokens=NUM_TOKENS, eog=ENDLESS, session_id="s"))
        engine.run_until_idle()
        turns.append((text, sink))
        text = [*text, *sink.tokens, 7, 8, 9, 10, 11]
    for text, sink in turns:
        assert sink.num_cached == (len(text) - 6 if text is not PROMPTS[4] else 0)
        assert sink.tokens == bench.alone(text)


def test_an_edited_text_is_reused_up_to_the_edit_or_a_state_before_it(bench: Bench) -> None:
    engine = bench.engine()
    bench.texts(engine, [PROMPTS[0]])
    edits = [[*PROMPTS[0][:place], 6, *PROMPTS[0][place + 1 :]] for place in (69, 50, 33, 3)]
    texts = [bench.texts(engine, [edited])[0] for edited in edits]
    assert texts == [bench.alone(edited) for edited in edits]


def test_an_embedding_does_not_depend_on_chunks_or_company(bench: Bench) -> None:
    engine = bench.engine()
    alone = engine.embed(PROMPTS[0])
    engine.run_until_idle()
    engine = bench.engine(max_rows=16, max_outputs=16)
    crowded = engine.embed(PROMPTS[0])
    bench.texts(engine, PROMPTS[1:3])
    assert np.linalg.norm(alone.result(0)) == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(crowded.result(0), alone.result(0), atol=2e-5)
