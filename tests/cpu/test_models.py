"""Whole models: as the reference says, however a step is cut, shared or divided among threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jackfield.backend import Limits
from jackfield.engine.loading import limits_for, load_model
from jackfield.host import Host
from jackfield.program import Program
from jackfield.testing.sequences import SequenceBatch
from jackfield.testing.tiny import make_checkpoint

pytestmark = pytest.mark.jit

FAMILIES = {"llama": 2, "qwen3": 2, "gemma3": 6, "gpt-oss": 2, "nemotron_h_moe": 4}
PROMPT = np.random.default_rng(1).integers(0, 384, 50).tolist()
EXACT = 1e-5
"""Share of the logits' range: float32 sums in another order than the reference's, through a few layers."""

Opener = Callable[..., SequenceBatch]


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


@pytest.fixture
def open_model(host: Host, tmp_path: Path) -> Iterator[Opener]:
    """Return what opens a tiny model: ``open_model(family, tensor_type, backend, **limits)``."""
    with ExitStack() as stack:

        def opener(family: str, tensor_type: str, backend: str = "cpu", **changes: object) -> SequenceBatch:
            path = tmp_path / f"{family}-{tensor_type}.gguf"
            if not path.exists():
                make_checkpoint(path, family, num_layers=FAMILIES[family], tensor_type=tensor_type)

            def limits(program: Program) -> Limits:
                return replace(
                    limits_for(program, 96, num_sequences=10, page_size=16), max_outputs=96, **changes
                )

            model = stack.enter_context(load_model(path, host, backend, limits))
            return SequenceBatch(model.executable, model.limits)

        yield opener


def assert_near(found, expected, tolerance: float) -> None:
    worst = float(np.abs(found - expected).max()) / float(np.ptp(expected))
    assert worst <= tolerance, f"logits differ by {worst:.1e} of their range"


@pytest.mark.parametrize("family", FAMILIES)
def test_float_weights_give_what_the_reference_gives(open_model: Opener, family: str) -> None:
    ours = open_model(family, "F32", kv_type="f32", num_threads=2)
    theirs = open_model(family, "F32", "reference", kv_type="f32")
    for tokens in ({"a": PROMPT}, {"a": [5], "b": PROMPT[:9]}, {"b": [7], "a": [1]}):
        found, expected = ours.feed(tokens), theirs.feed(tokens)
        for name in tokens:
            assert_near(found[name], expected[name], EXACT)


def test_threads_do_not_change_a_bit(open_model: Opener) -> None:
    batches = [open_model("qwen3", "Q8_0", num_threads=count) for count in (1, 2, 5)]
    for tokens in ({"a": PROMPT}, {"a": [5], "b": PROMPT[:9]}, {"b": [7]}):
        first, *others = [batch.feed(tokens) for batch in batches]
        for other in others:
            for name in tokens:
                np.testing.assert_array_equal(other[name], first[name])


@pytest.mark.parametrize("tensor_type", ["Q8_0", "F16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_gets_the_same_bits_however_a_prompt_is_cut(
    open_model: Opener, family: str, tensor_type: str
) -> None:
    batch = open_model(family, tensor_type, num_threads=2)
    whole = batch.feed({"whole": PROMPT})["whole"]
    steps = np.concatenate([batch.feed({"steps": [token]})["steps"] for token in PROMPT])
    parts = np.concatenate([batch.feed({"parts": PROMPT[at : at + 7]})["parts"] for at in range(0, 50, 7)])
    np.testing.assert_array_equal(steps, whole)
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_the_bits_each_sequence_gets_alone(open_model: Opener, family: str) -> None:
    batch = open_model(family, "Q8_0")
    prompts = {"a": PROMPT, "b": PROMPT[7:30], "c": PROMPT[:1]}
    together = batch.feed(prompts) | batch.feed({"d": PROMPT[:2], "e": PROMPT[3:5]})
    for name, tokens in (prompts | {"d": PROMPT[:2], "e": PROMPT[3:5]}).items():
        np.testing.assert_array_equal(together[name], batch.feed({f"{name} alone": tokens})[f"{name} alone"])


def test_a_poisoned_sequence_leaves_the_others_alone(open_model: Opener) -> None:
    batch = open_model("llama", "Q8_0")
    expected = batch.feed({"alone": PROMPT[:20]})["alone"]
    executable = batch._executable
    executable._storage._pages[0][0].view(np.float16)[:] = (
        np.nan
    )  # every page: what is not overwritten stays NaN
    found = batch.feed({"fresh": PROMPT[:20]})["fresh"]
    np.testing.assert_array_equal(found, expected)
