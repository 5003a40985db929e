"""``jackfield bench --profile`` accounts for the whole time of a step."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.backend import CallTime, WeightSource
from jackfield.bench.observed import ObservedExecutable, ObservedStep
from jackfield.bench.parts import KINDS, PREPARING, Part, parts_of
from jackfield.cli import main
from jackfield.engine.loading import limits_for, load_model
from jackfield.engine.single import SingleSequence
from jackfield.host import Host
from jackfield.program import Buffer, GluKind, Op, Rows, Weight
from jackfield.program.ops import VOCABULARY, ExpertFeedForward, Linear, RmsNorm
from jackfield.testing.tiny import make_checkpoint


@dataclass(frozen=True)
class Bytes:
    """A tensor of one byte an element."""

    name: str
    shape: tuple[int, ...]
    type_name: str = "Q8_0"

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        return np.zeros(math.prod(self.shape), np.uint8)

    def to_float32(self) -> npt.NDArray[np.float32]:
        return np.zeros(self.shape, np.float32)


@dataclass(frozen=True)
class Sharpen(Op):
    """An op of a plugin."""

    x: Buffer
    out: Buffer


WEIGHTS: WeightSource = {
    "up": Bytes("up", (6, 4)),
    "down": Bytes("down", (4, 6), "Q6_K"),
    "output": Bytes("output", (9, 4)),
    "experts": Bytes("experts", (8, 6, 4)),
}
UP, DOWN, OUTPUT = (Weight(name, WEIGHTS[name].shape) for name in ("up", "down", "output"))
X, LAST = Buffer(0, 4), Buffer(1, 4, Rows.OUTPUTS)
LINEAR = Linear(X, UP, None, None, Buffer(2, 6))


def run_bench(path: Path, backend: str, *more: str) -> int:
    command = ["bench", "--model", str(path), "--backend", backend, "--runs", "1", "--threads", "1"]
    return main([*command, "--prefill", "8", "--decode", "6", "--profile", *more])


# ---- calls become parts ----


def test_every_op_of_the_vocabulary_has_a_kind():
    assert set(KINDS) == VOCABULARY


def test_products_are_told_apart_by_shape_and_format_and_say_what_they_read():
    output = Linear(LAST, OUTPUT, None, None, Buffer(3, 9, Rows.OUTPUTS))
    calls = [
        CallTime("linear", (LINEAR,), (UP,), 1.0),
        CallTime("linear", (LINEAR,), (UP,), 2.0),
        CallTime("linear", (LINEAR,), (UP, DOWN), 4.0),
        CallTime("linear", (output,), (OUTPUT,), 8.0),
    ]
    found = parts_of([ObservedStep(5, 2, 0.0, 1.0, calls)], WEIGHTS)
    assert found == {
        "linear 6×4 Q8_0": Part("linear 6×4 Q8_0", 3.0, 2, 48, 2 * 5 * 48),
        "linear 6+4×4 Q8_0+Q6_K": Part("linear 6+4×4 Q8_0+Q6_K", 4.0, 1, 48, 2 * 5 * 48),
        "linear 9×4 Q8_0": Part("linear 9×4 Q8_0", 8.0, 1, 36, 2 * 2 * 36),
    }


def test_a_product_without_rows_reads_nothing():
    output = Linear(LAST, OUTPUT, None, None, Buffer(3, 9, Rows.OUTPUTS))
    step = ObservedStep(5, 0, 0.0, 1.0, [CallTime("linear", (output,), (OUTPUT,), 1.0)])
    part = parts_of([step], WEIGHTS)["linear 9×4 Q8_0"]
    assert (part.read_bytes, part.operations) == (0, 0)


@pytest.mark.parametrize(("rows", "read_bytes"), [(1, 2 * 24), (3, 0)])
def test_of_experts_only_those_of_one_row_are_known(rows: int, read_bytes: int):
    experts = Weight("experts", (8, 6, 4))
    chosen = Buffer(4, 2)
    op = ExpertFeedForward(
        X, chosen, chosen, None, None, experts, experts, None, None, None, None, GluKind.SILU, Buffer(5, 4)
    )
    step = ObservedStep(rows, 1, 0.0, 1.0, [CallTime("product", (op,), (experts,), 1.0)])
    part = parts_of([step], WEIGHTS)["experts 6×4 Q8_0"]
    assert (part.read_bytes, part.operations) == (read_bytes, 2 * rows * 2 * 24)


def test_calls_that_read_no_matrix_go_by_their_op():
    norm = RmsNorm(X, None, 1e-6, 4, X)
    calls = [
        CallTime("norm", (norm,), (), 1.0),
        CallTime("quantize", (), (), 2.0),
        CallTime("Sharpen", (Sharpen(X, X),), (), 3.0),
    ]
    found = parts_of([ObservedStep(1, 1, 0.0, 1.0, calls)], WEIGHTS)
    assert {what: part.seconds for what, part in found.items()} == {
        "norms": 1.0,
        PREPARING: 2.0,
        "Sharpen": 3.0,
    }


# ---- steps are watched ----


@pytest.mark.parametrize("backend", ["reference", pytest.param("cpu", marks=pytest.mark.jit)])
def test_a_step_taken_apart_gives_the_same_logits_and_names_every_matrix_once(tmp_path: Path, backend: str):
    path = make_checkpoint(tmp_path / "tiny.gguf", "qwen3", tensor_type="Q8_0")
    with load_model(path, Host(), backend, lambda program: limits_for(program, 64, num_threads=2)) as model:
        observed = ObservedExecutable(model.executable)
        whole = SingleSequence(observed, model.limits).feed([1, 2, 3])
        observed.is_by_call = True
        apart = SingleSequence(observed, model.limits).feed([1, 2, 3])
        np.testing.assert_array_equal(whole, apart)
        plain, taken_apart = observed.steps
        assert not plain.calls
        assert (taken_apart.num_rows, taken_apart.num_outputs) == (3, 1)
        products = [call for call in taken_apart.calls if call.ops and isinstance(call.ops[0], Linear)]
        read = [weight.name for call in products for weight in call.weights]
        expected = [op.weight.name for op in model.program.ops if isinstance(op, Linear)]
        assert sorted(read) == sorted(expected)
        known = set(parts_of([taken_apart], model.checkpoint.tensors))
        assert {"attention", "norms", "rope", "embedding"} <= known
        assert (
            0
            <= sum(call.seconds for call in taken_apart.calls)
            <= taken_apart.stopped_s - taken_apart.started_s
        )


# ---- the command ----


def test_shares_add_up_to_the_whole_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    assert run_bench(path, "reference", "--streams", "2", "--json") == 0
    profiles = json.loads(capsys.readouterr().out)["profile"]
    assert [(p["phase"], p["rows"]) for p in profiles] == [("prefill", 8), ("decode", 1), ("2 streams", 2)]
    for found in profiles:
        assert sum(part["share"] for part in found["parts"]) == pytest.approx(found["native_share"])
        assert sum(part["seconds"] for part in found["parts"]) == pytest.approx(found["by_call_s"])
        assert min(found["sampling_s"], found["python_s"]) > 0
        assert found["native_s"] < found["step_s"]


def test_profiles_are_printed_as_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    assert run_bench(path, "reference") == 0
    text = capsys.readouterr().out
    words = text.split()
    assert words.count("attention") == words.count("sampling") == words.count("Python") == 2
    assert "does not time" not in text


def test_a_backend_that_does_not_time_its_calls_is_shown_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    assert run_bench(path, "null") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "the whole step" in text
    assert "backend 'null' does not time its calls, so its steps are shown whole" in text


def test_a_model_that_refines_blocks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make_checkpoint(tmp_path / "tiny.gguf", "diffusion-gemma", num_layers=3)
    assert run_bench(path, "reference") == 2
    assert "--profile is for models that pick token by token" in capsys.readouterr().err


def test_a_profile_is_drawn(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    path, picture = make_checkpoint(tmp_path / "tiny.gguf", "llama"), tmp_path / "profile.png"
    assert run_bench(path, "reference", "--json", "--plot", str(picture)) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
