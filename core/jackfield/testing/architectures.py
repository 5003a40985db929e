"""The suite that every architecture is put through, ours or a stranger's.

    class TestTinylm(ArchitectureSuite):
        family = TINYLM_FAMILY

The suite makes a small random checkpoint of the family, so it needs no model files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.backend import Limits
from jackfield.engine.loading import LoadedModel, build_program, limits_for, load_model
from jackfield.errors import CheckpointError, JackfieldError
from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.program import Program
from jackfield.testing.families import Dimensions, Family, TinyTensor, family_named
from jackfield.testing.sequences import SequenceBatch
from jackfield.testing.tiny import MetadataValue, make_checkpoint

__all__ = ["ArchitectureSuite", "assert_same_logits"]

F32 = npt.NDArray[np.float32]
TensorEdit: TypeAlias = Callable[[TinyTensor], TinyTensor | None]
ROUNDING = 2e-4
"""Most that logits may differ, as a share of their range, when only the order of sums differs."""


def assert_same_logits(found: F32, expected: F32, tolerance: float = ROUNDING) -> None:
    """Assert that two arrays of logits differ by rounding only."""
    assert found.shape == expected.shape
    spread = float(np.ptp(expected))
    worst = float(np.abs(found - expected).max())
    assert worst <= tolerance * spread, f"logits differ by {worst:.2e} of a range of {spread:.2e}"


class ArchitectureSuite:
    """Claims about one architecture; a subclass names the family.

    Attributes:
        family: A family of ``jackfield.testing.families``, by name, or one of your own.
        num_layers: Layers of the checkpoint; enough for every kind of layer to occur.
        backend: What runs it.
        fast_backends: What must give the same logits, from float32 weights and cache.
        optional_tensors: Parts of names of tensors that a checkpoint may lack, or hold in another layout.
    """

    family: ClassVar[str | Family]
    num_layers: ClassVar[int] = 2
    backend: ClassVar[str] = "reference"
    fast_backends: ClassVar[tuple[str, ...]] = ("cpu",)
    optional_tensors: ClassVar[tuple[str, ...]] = (".bias", ".scale", "output.weight", "rope_freqs")

    @pytest.fixture(scope="class")
    @classmethod
    def host(cls) -> Host:
        """Return a host with all installed plugins."""
        return Host()

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Return a small checkpoint of the family."""
        return make_checkpoint(tmp_path / "tiny.gguf", self.family, num_layers=self.num_layers)

    @pytest.fixture
    def model(self, host: Host, path: Path) -> Iterator[LoadedModel]:
        """Return the checkpoint, opened for a few sequences."""
        with load_model(path, host, self.backend, _limits) as loaded:
            yield loaded

    @pytest.fixture
    def batch(self, model: LoadedModel) -> SequenceBatch:
        """Return sequences on the model."""
        return SequenceBatch(model.executable, model.limits)

    @pytest.fixture
    def prompt(self, model: LoadedModel) -> list[int]:
        """Return a prompt of several pages, longer than any window of the family."""
        generator = np.random.default_rng(1)
        tokens: list[int] = generator.integers(0, model.program.vocab_size, 50).tolist()
        return tokens

    def test_logits_are_finite_and_depend_on_the_prompt(
        self, batch: SequenceBatch, prompt: list[int]
    ) -> None:
        """The first token of the prompt is seen by the last row."""
        logits = batch.feed({"a": prompt})["a"]
        changed = batch.feed({"b": [(prompt[0] + 1) % logits.shape[1], *prompt[1:]]})["b"]
        assert np.isfinite(logits).all()
        assert np.abs(logits[-1] - changed[-1]).max() > 1e-6 * np.ptp(logits)

    def test_prefill_gives_what_steps_give(self, batch: SequenceBatch, prompt: list[int]) -> None:
        """Prefill and decode are one computation."""
        whole = batch.feed({"whole": prompt})["whole"]
        steps = [batch.feed({"steps": [token]})["steps"] for token in prompt]
        assert_same_logits(np.concatenate(steps), whole)

    def test_chunks_give_what_one_prefill_gives(self, batch: SequenceBatch, prompt: list[int]) -> None:
        """A prompt may be cut anywhere."""
        whole = batch.feed({"whole": prompt})["whole"]
        cuts = [0, 1, 3, 20, 33, len(prompt)]
        chunks = [batch.feed({"chunks": prompt[a:b]})["chunks"] for a, b in itertools.pairwise(cuts)]
        assert_same_logits(np.concatenate(chunks), whole)

    def test_a_batch_gives_what_each_sequence_gives_alone(
        self, batch: SequenceBatch, prompt: list[int]
    ) -> None:
        """Rows of other sequences change nothing."""
        prompts = {"a": prompt, "b": prompt[7:40], "c": prompt[:1]}
        alone = {name: batch.feed({f"{name} alone": part})[f"{name} alone"] for name, part in prompts.items()}
        first = batch.feed({name: part[:-1] for name, part in prompts.items() if len(part) > 1})
        last = batch.feed({name: part[-1:] for name, part in prompts.items()})
        for name, expected in alone.items():
            assert_same_logits(last[name], expected[-1:])
            if name in first:
                assert_same_logits(first[name], expected[:-1])

    def test_a_copied_prefix_gives_what_a_fresh_one_gives(
        self, batch: SequenceBatch, prompt: list[int]
    ) -> None:
        """Pages and state can be copied and gone on from."""
        fresh = batch.feed({"fresh": prompt})["fresh"]
        batch.feed({"first": prompt[:41]})
        batch.fork("first", "second")
        batch.feed({"first": prompt[:20]})
        assert_same_logits(batch.feed({"second": prompt[41:]})["second"], fresh[41:])

    def test_a_sequence_cut_short_goes_on_as_a_fresh_one(
        self, batch: SequenceBatch, model: LoadedModel, prompt: list[int]
    ) -> None:
        """What was written past the cut is not seen."""
        if model.program.is_recurrent:
            assert model.program.fixed_states  # recurrent state is copied, never cut: the test above
            return
        fresh = batch.feed({"fresh": prompt})["fresh"]
        batch.feed({"cut": [*prompt[:30], *prompt[:30]]})
        batch.cut("cut", 30)
        assert_same_logits(batch.feed({"cut": prompt[30:]})["cut"], fresh[30:])

    def test_only_the_wanted_rows_have_logits(self, batch: SequenceBatch, prompt: list[int]) -> None:
        """Any rows of a step may be asked for, and none."""
        tokens = {"a": prompt[:5], "b": prompt[5:8]}
        every = batch.feed(tokens)
        some = batch.feed_for({name + "2": part for name, part in tokens.items()}, [1, 4, 6])
        none = batch.feed_for({name + "3": part for name, part in tokens.items()}, [])
        assert_same_logits(some, np.stack([every["a"][1], every["a"][4], every["b"][1]]))
        assert none.shape == (0, some.shape[1])

    def test_hidden_rows_belong_to_the_logits(
        self, batch: SequenceBatch, model: LoadedModel, prompt: list[int]
    ) -> None:
        """Each row of logits has its hidden row."""
        batch.feed_for({"a": prompt[:5]}, [2, 4])
        hidden = model.executable.hidden()
        assert hidden.shape == (2, model.program.embedding_width)
        assert np.isfinite(hidden).all()
        assert not np.array_equal(hidden[0], hidden[1])

    def test_fast_backends_give_what_the_reference_gives(
        self, host: Host, path: Path, prompt: list[int]
    ) -> None:
        """Kernels compute what the program says: a prompt, then single tokens."""
        found: list[list[F32]] = []
        for name in ("reference", *self.fast_backends):
            with load_model(path, host, name, _exact_limits) as loaded:
                batch = SequenceBatch(loaded.executable, loaded.limits)
                parts = (prompt[:40], *([token] for token in prompt[40:44]))
                found.append([batch.feed({"a": part})["a"] for part in parts])
        expected, *others = found
        for other in others:
            for ours, theirs in zip(other, expected, strict=True):
                assert_same_logits(ours, theirs)

    @pytest.mark.parametrize("tensor_type", ["F16", "Q8_0", "Q4_K"])
    def test_quantised_checkpoints_load_and_answer(
        self, host: Host, tmp_path: Path, tensor_type: str
    ) -> None:
        """Block formats do not change what shapes are expected."""
        file = self._make(tmp_path, tensor_type=tensor_type)
        with load_model(file, host, self.backend, _limits) as loaded:
            logits = SequenceBatch(loaded.executable, loaded.limits).feed({"a": [1, 2, 3]})["a"]
        assert np.isfinite(logits).all()

    def test_a_missing_tensor_is_named(self, host: Host, path: Path, tmp_path: Path) -> None:
        """A tensor is never silently done without."""
        for name in _tensors_of_first_blocks(path):
            if any(part in name for part in self.optional_tensors):
                continue
            file = self._make(tmp_path, tensors=_replaced(name, lambda tensor: None))
            with open_checkpoint(file) as checkpoint, pytest.raises(CheckpointError, match=re.escape(name)):
                build_program(checkpoint, host)

    def test_a_tensor_of_another_shape_is_named(self, host: Host, path: Path, tmp_path: Path) -> None:
        """A tensor of the wrong shape is refused at load."""
        for name in _tensors_of_first_blocks(path):
            file = self._make(tmp_path, tensors=_replaced(name, _wider))
            with open_checkpoint(file) as checkpoint, pytest.raises(CheckpointError, match=re.escape(name)):
                build_program(checkpoint, host)

    @pytest.mark.parametrize("value", [0, 3, 2**32 - 1, float("nan"), 1e38, [1, 2, 3]])
    def test_no_hyper_parameter_breaks_more_than_its_file(
        self, host: Host, path: Path, tmp_path: Path, value: MetadataValue
    ) -> None:
        """Whatever a key says, the file loads or the error is one of ours, in little time and memory."""
        for key in _keys_of_architecture(path):
            file = self._make(tmp_path, metadata={key: value})
            with open_checkpoint(file) as checkpoint, contextlib.suppress(JackfieldError):
                build_program(checkpoint, host)

    def _make(
        self,
        folder: Path,
        tensors: TensorEdit = lambda tensor: tensor,
        metadata: Mapping[str, MetadataValue] | None = None,
        tensor_type: str = "F32",
    ) -> Path:
        family = self.family if isinstance(self.family, Family) else family_named(self.family)

        def edited(dimensions: Dimensions) -> Iterator[TinyTensor]:
            for tensor in family.tensors(dimensions):
                found = tensors(tensor)
                if found is not None:
                    yield found

        return make_checkpoint(
            folder / "edited.gguf",
            dataclasses.replace(family, tensors=edited),
            num_layers=self.num_layers,
            tensor_type=tensor_type,
            metadata=metadata,
        )


def _limits(program: Program) -> Limits:
    return limits_for(program, 96, num_sequences=6, page_size=16)


def _exact_limits(program: Program) -> Limits:
    return limits_for(program, 96, page_size=16, kv_type="f32")


def _tensors_of_first_blocks(path: Path) -> list[str]:
    """Return names of tensors, all but one of those that only differ in the block's number."""
    with open_checkpoint(path) as checkpoint:
        names = list(checkpoint.tensors)
    return list({re.sub(r"blk\.\d+", "", name): name for name in reversed(names)}.values())


def _keys_of_architecture(path: Path) -> list[str]:
    with open_checkpoint(path) as checkpoint:
        return [key for key in checkpoint.metadata if key.startswith(f"{checkpoint.architecture}.")]


def _replaced(name: str, edit: TensorEdit) -> TensorEdit:
    """Return an edit of the tensor of that name alone."""
    return lambda tensor: edit(tensor) if tensor.name == name else tensor


def _wider(tensor: TinyTensor) -> TinyTensor:
    return dataclasses.replace(tensor, shape=(*tensor.shape[:-1], tensor.shape[-1] + 1))
