from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from jackfield.backend import MemoryEstimate
from jackfield.cli import logits
from jackfield.descriptors import BackendDescriptor
from jackfield.engine.loading import build_program, choose_backend, limits_for, load_model
from jackfield.engine.single import SingleSequence
from jackfield.errors import (
    BackendError,
    BackendUnavailable,
    CheckpointError,
    ConfigError,
    PluginError,
    UnknownName,
)
from jackfield.gguf import Checkpoint, open_checkpoint
from jackfield.hooks import hookimpl
from jackfield.host import Host
from jackfield.testing.tiny import make_checkpoint


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "tiny.gguf", "llama")


class Unwilling:
    """A backend that never runs anything."""

    def unavailable(self) -> str | None:
        return "it is asleep"


class Picky:
    """A backend that lacks an op."""

    def unavailable(self) -> str | None:
        return None

    def cannot_run(self, program: object, weights: object) -> str | None:
        return "op Linear is not to its taste"

    def estimate(self, *arguments: object) -> MemoryEstimate:
        raise NotImplementedError


class Broken:
    def unavailable(self) -> str | None:
        raise RuntimeError("it fell over")


class Backends:
    @hookimpl
    def jackfield_backends(self) -> Sequence[BackendDescriptor]:
        names = {"unwilling": Unwilling, "picky": Picky, "broken": Broken}
        return [
            BackendDescriptor(name=name, summary="", factory=f"{__name__}:{kind.__name__}", preference=1)
            for name, kind in names.items()
        ]


@pytest.fixture
def checkpoint(path: Path) -> Checkpoint:
    return open_checkpoint(path)


def test_a_backend_that_is_unavailable_says_why(host: Host, checkpoint: Checkpoint) -> None:
    program = build_program(checkpoint, host)
    other = Host({"backends": Backends()}, installed=False)
    with pytest.raises(BackendUnavailable, match="backend 'unwilling' cannot be used here: it is asleep"):
        choose_backend(other, "unwilling", program, checkpoint.tensors)
    with pytest.raises(BackendError, match="backend 'picky' cannot run llama: op Linear is not to its taste"):
        choose_backend(other, "picky", program, checkpoint.tensors)
    with pytest.raises(
        PluginError, match=r"backend 'broken' failed: RuntimeError: it fell over \(test_loading"
    ):
        choose_backend(other, "broken", program, checkpoint.tensors)
    with pytest.raises(BackendUnavailable, match=r"no backend can run llama: .*asleep; .*taste; .*fell over"):
        choose_backend(other, "auto", program, checkpoint.tensors)
    with pytest.raises(BackendUnavailable, match="no backend can run llama: none is installed"):
        choose_backend(Host(installed=False), "auto", program, checkpoint.tensors)


def test_a_backend_nobody_has_is_an_unknown_name(host: Host, path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no backend named 'referense'.*Did you mean 'reference'"):
        load_model(path, host, "referense")


def test_auto_never_takes_the_reference(host: Host, checkpoint: Checkpoint) -> None:
    only_slow = Host({name: _plugin(name) for name in ("reference", "null")}, installed=False)
    program = build_program(checkpoint, host)
    with pytest.raises(BackendUnavailable, match="none is installed"):
        choose_backend(only_slow, "auto", program, checkpoint.tensors)


def _plugin(name: str) -> object:
    import importlib

    return importlib.import_module(f"jackfield_backends.{name}")


def test_an_architecture_nobody_has_is_named(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'tiny.gguf': no architecture named 'llama'; installed: none"):
        load_model(path, Host(installed=False), "reference")


def test_limits_have_pages_for_every_context(host: Host, checkpoint: Checkpoint) -> None:
    program = build_program(checkpoint, host)
    limits = limits_for(program, 100, num_sequences=3, page_size=16)
    assert (limits.num_pages, limits.max_sequences, limits.max_context) == (21, 3, 100)
    assert limits.num_state_slots == 0
    assert limits_for(program).max_context == program.context_length


def test_one_sequence_is_fed_within_the_limits(host: Host, path: Path) -> None:
    prompt = [int(token) for token in np.random.default_rng(0).integers(0, 384, 50)]
    with load_model(path, host, "reference") as loaded:
        whole = SingleSequence(loaded.executable, loaded.limits).feed(prompt, range(50))
    with load_model(path, host, "reference", lambda p: limits_for(p, 64, max_rows=16)) as loaded:
        parts = SingleSequence(loaded.executable, loaded.limits).feed(prompt, range(50))
        some = SingleSequence(loaded.executable, loaded.limits).feed(prompt, [3, 40])
    np.testing.assert_allclose(parts, whole, atol=1e-4)
    np.testing.assert_allclose(some, whole[[3, 40]], atol=1e-4)


# ---- the logits command ----


def save(folder: Path, **arrays: object) -> Path:
    path = folder / "prompts.npz"
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
    return path


def test_logits_are_those_of_the_positions_wanted(host: Host, path: Path, tmp_path: Path) -> None:
    prompts = save(tmp_path, tokens_0=[1, 2, 3, 4], positions_0=[0, 2], tokens_7=[5, 6])
    out = tmp_path / "out.npz"
    assert logits.run(host, path, "reference", prompts, out, greedy=5) == [0, 7]
    with np.load(out) as found:
        assert {name: found[name].shape for name in found.files} == {
            "logits_0": (2, 384), "greedy_0": (5,), "logits_7": (2, 384), "greedy_7": (5,)
        }  # fmt: skip
        last = int(found["greedy_7"][0])
        assert last == int(found["logits_7"][1].argmax())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": [1]}, "hold no array 'tokens_0'"),
        ({"tokens_0": []}, "'tokens_0' is of shape .* and type float64; expected a row of integers"),
        ({"tokens_0": np.zeros(0, np.int32)}, "'tokens_0' is empty"),
        ({"tokens_0": [[1, 2]]}, "expected a row of integers"),
        ({"tokens_0": [1, 2], "positions_0": [1, 0]}, "'positions_0' is .*; expected ascending positions"),
        ({"tokens_0": [1, 2], "positions_0": [2]}, "expected ascending positions below 2"),
        ({"tokens_0": [1, 384]}, "'tokens_0' has an id outside the vocabulary; expected 0 to 383"),
        ({"tokens_0": [1, -1]}, "outside the vocabulary"),
    ],
)
def test_wrong_prompts_are_refused_by_name(
    host: Host, path: Path, tmp_path: Path, arrays: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        logits.run(host, path, "reference", save(tmp_path, **arrays), tmp_path / "out.npz")


def test_a_file_that_is_no_npz_is_refused(host: Host, path: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.npz").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="cannot be read"):
        logits.run(host, path, "reference", tmp_path / "prompts.npz", tmp_path / "out.npz")
    with pytest.raises(ConfigError, match="cannot be read"):
        logits.run(host, path, "reference", tmp_path / "absent.npz", tmp_path / "out.npz")
