"""Canvases of diffusion-gemma: against transformers, and on a small checkpoint of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.backend import SoftTokens, Step
from jackfield.engine.loading import LoadedModel, build_program, limits_for, load_model
from jackfield.engine.single import SingleSequence
from jackfield.errors import CheckpointError
from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.program import BlockDiffusion
from jackfield.testing.architectures import assert_same_logits
from jackfield.testing.families.diffusion_gemma import CANVAS_LENGTH
from jackfield.testing.tiny import make_checkpoint

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
PROMPT = [int(token) for token in np.random.default_rng(3).integers(0, 384, 45)]
CANVAS = np.random.default_rng(4).integers(0, 384, CANVAS_LENGTH).astype(np.int32)
BACKENDS = ["reference", pytest.param("cpu", marks=pytest.mark.jit)]
TOLERANCE = 2e-3
"""Of logits with a spread of 3: that of the oracles' float32 profile."""


def look(loaded: LoadedModel, length: int, canvas: I32, soft: SoftTokens | None = None) -> F32:
    """Return the logits of a canvas behind the text that was fed."""
    step = Step(
        tokens=canvas,
        positions=np.arange(length, length + canvas.size, dtype=np.int32),
        row_starts=np.array([0, canvas.size], np.int32),
        page_table=np.arange(loaded.limits.num_pages, dtype=np.int32)[None, :],
        state_slots=np.zeros(1, np.int32),
        output_rows=np.arange(canvas.size, dtype=np.int32),
        canvases=np.ones(1, np.int32),
        soft_tokens=soft,
    )
    return loaded.executable.step(step).copy()


def soft_of(logits: F32) -> SoftTokens:
    """Return the whole softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    rows, width = logits.shape
    ids = np.tile(np.arange(width, dtype=np.int32), rows)
    return SoftTokens(np.arange(0, rows * width + 1, width, dtype=np.int64), ids, shares.ravel())


# ---- against transformers ----


@pytest.mark.oracle
@pytest.mark.parametrize("backend", BACKENDS)
def test_prompts_and_canvases_agree_with_transformers(oracles: Path, backend: str) -> None:
    folder = oracles / "diffusion_gemma"
    with (
        np.load(folder / "reference.npz") as reference,
        load_model(
            folder / "model.gguf", Host(), backend, lambda p: limits_for(p, 192, kv_type="f32")
        ) as loaded,
    ):
        for i in range(3):
            tokens = reference[f"tokens_{i}"].tolist()
            text = SingleSequence(loaded.executable, loaded.limits)
            found = text.feed(tokens, reference[f"positions_{i}"].tolist())
            assert np.abs(found - reference[f"encoder_logits_{i}"]).max() < TOLERANCE
            first = look(loaded, len(tokens), reference[f"canvas0_{i}"])
            assert np.abs(first - reference[f"logits_step0_{i}"]).max() < TOLERANCE
            soft = soft_of(reference[f"logits_step0_{i}"] / reference["temperature0"])
            second = look(loaded, len(tokens), reference[f"canvas1_{i}"], soft=soft)
            assert np.abs(second - reference[f"logits_step1_{i}"]).max() < TOLERANCE


# ---- on a checkpoint of our own ----


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(
        tmp_path_factory.mktemp("diffusion") / "tiny.gguf", "diffusion-gemma", num_layers=3
    )


@pytest.fixture(params=BACKENDS)
def loaded(request: pytest.FixtureRequest, path: Path) -> Iterator[LoadedModel]:
    with load_model(path, Host(), request.param, lambda p: limits_for(p, 96, kv_type="f32")) as model:
        SingleSequence(model.executable, model.limits).feed(PROMPT)
        yield model


def test_every_position_sees_every_other(loaded: LoadedModel) -> None:
    plain = look(loaded, 45, CANVAS)
    for changed in (0, CANVAS_LENGTH - 1):
        other = CANVAS.copy()
        other[changed] = (other[changed] + 1) % 384
        difference = np.abs(look(loaded, 45, other) - plain).max(axis=1)
        assert (difference > 1e-4).all()


def test_what_was_thought_of_a_position_changes_what_is_thought_next(loaded: LoadedModel) -> None:
    plain = look(loaded, 45, CANVAS)
    assert np.abs(look(loaded, 45, CANVAS, soft=soft_of(plain)) - plain).max() > 1e-3


def test_a_canvas_leaves_no_trace_in_the_text(loaded: LoadedModel) -> None:
    """A finished block is read as any text is, whatever lay in its place before."""
    look(loaded, 45, CANVAS)
    text = SingleSequence(loaded.executable, loaded.limits)
    text.feed(PROMPT)
    look(loaded, 45, CANVAS[::-1].copy())
    after = text.feed(CANVAS.tolist(), range(CANVAS_LENGTH))
    fresh = SingleSequence(loaded.executable, loaded.limits).feed(
        [*PROMPT, *CANVAS.tolist()], range(45, 45 + CANVAS_LENGTH)
    )
    assert_same_logits(after, fresh)


def test_the_layers_scale_canvases_and_text_by_their_own(path: Path, loaded: LoadedModel) -> None:
    as_canvas = look(loaded, 45, CANVAS[:1])
    as_text = SingleSequence(loaded.executable, loaded.limits).feed([*PROMPT, int(CANVAS[0])])
    assert np.abs(as_canvas - as_text).max() > 1e-2


def test_the_schedule_is_read_from_the_file(path: Path, tmp_path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        assert build_program(checkpoint, Host()).diffusion == BlockDiffusion(CANVAS_LENGTH, max_steps=6)
    for key, value in {"canvas_length": 0, "eb_max_steps": 0, "eb_t_min": 0.0}.items():
        bad = make_checkpoint(
            tmp_path / "bad.gguf", "diffusion-gemma", num_layers=3, metadata={f"diffusion.{key}": value}
        )
        with open_checkpoint(bad) as checkpoint, pytest.raises(CheckpointError, match=key):
            build_program(checkpoint, Host())


def test_the_alias_is_the_same_family(path: Path) -> None:
    host = Host()
    assert host.architecture("diffusion_gemma") == host.architecture("diffusion-gemma")


def test_a_model_that_writes_token_by_token_has_no_schedule(tmp_path: Path) -> None:
    with open_checkpoint(make_checkpoint(tmp_path / "tiny.gguf", "gemma4", num_layers=3)) as checkpoint:
        program = build_program(checkpoint, Host())
    assert program.diffusion is None
