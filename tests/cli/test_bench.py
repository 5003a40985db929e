"""``jackfield bench`` reports what it measured, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jackfield.backend import MachineRates
from jackfield.bench.busy import BusyCores
from jackfield.bench.figures import BATCH_PROMPT, Figures, Workload, median_figures
from jackfield.bench.mixtures import tensor_types
from jackfield.bench.ours import OurModel, TokenTimes
from jackfield.bench.report import summarise
from jackfield.bench.shapes import write_shape
from jackfield.bench.traffic import decode_bytes
from jackfield.cli import main
from jackfield.engine.loading import build_program
from jackfield.errors import ConfigError
from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.testing.tiny import make_checkpoint


def test_one_json_object_has_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    command = ["bench", "--model", str(path), "--backend", "reference", "--json", "--runs", "1"]
    assert main([*command, "--prefill", "8", "--decode", "4", "--streams", "2", "--contexts", "16"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["prefill_tokens_per_s"] == pytest.approx(8 / found["time_to_first_token_s"])
    assert found["decode_tokens_per_s"] > 0
    assert found["resident_bytes"] > 0
    assert set(found["batch_tokens_per_s"]) == {"2"}
    assert set(found["context_tokens_per_s"]) == {"16"}
    assert (found["backend"], found["runs"], found["prefill"]) == ("reference", 1, 8)
    assert "llama_cpp" not in found


def test_streams_generate_as_much_more_as_it_takes_until_the_last_of_them_begins():
    """Left alone, the first of eight would be done before the last has read its prompt, and nothing measured."""
    workload = Workload(prefill=8, decode=2, streams=(2, 8))
    assert [workload.decode_among(streams) for streams in (1, 2, 8)] == [2, 6, 30]
    assert workload.longest == BATCH_PROMPT + 30 + 1


def test_streams_that_never_decode_together_have_no_rate(monkeypatch: pytest.MonkeyPatch):
    sinks = [TokenTimes(), TokenTimes()]
    for sink, begun_s in zip(sinks, (0.0, 5.0), strict=True):
        sink.moments_s = [begun_s, begun_s + 1.0]
        sink.done.set()
    given = iter(sinks)
    monkeypatch.setattr(OurModel, "submit", lambda *_: next(given))
    model = object.__new__(OurModel)
    monkeypatch.setattr(model, "_engine", None, raising=False)
    with pytest.raises(ConfigError, match="2 streams of 2 tokens never decoded all together"):
        model._run_together(2, 2)


def test_a_folder_for_shapes_is_made_or_said_to_be_impossible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = [
        "bench",
        "--shape",
        "tiny",
        "--backend",
        "reference",
        "--runs",
        "1",
        "--prefill",
        "8",
        "--decode",
        "2",
    ]
    assert main([*command, "--folder", str(tmp_path / "new" / "folder")]) == 0
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 1
    (tmp_path / "file").write_text("")
    assert main([*command, "--folder", str(tmp_path / "file")]) == 2
    assert "the folder of --shape's files cannot be made" in capsys.readouterr().err


def test_medians_are_taken_figure_by_figure():
    runs = [Figures(p, d, 1.0, 0.0, 0, {2: p}) for p, d in ((1.0, 9.0), (3.0, 7.0), (2.0, 8.0))]
    median = median_figures(runs)
    assert (median.prefill_tokens_per_s, median.decode_tokens_per_s) == (2.0, 8.0)
    assert median.batch_tokens_per_s == {2: 2.0}


def test_a_shape_is_written_once(tmp_path: Path):
    path = write_shape("tiny", "Q4_K_M", tmp_path)
    written = path.stat().st_mtime_ns
    assert write_shape("tiny", "Q4_K_M", tmp_path).stat().st_mtime_ns == written
    with pytest.raises(ConfigError, match=r"no shape 'tinny'.*Did you mean 'tiny'"):
        write_shape("tinny", "Q8_0", tmp_path)


def test_guesses_are_measured_on_the_same_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    command = ["bench", "--model", str(path), "--backend", "reference", "--json", "--runs", "1", "--guess"]
    assert main([*command, "--prefill", "8", "--decode", "8"]) == 0
    found = json.loads(capsys.readouterr().out)["guessing"]
    assert set(found) == {"plain_tokens_per_s", "tokens_per_s", "accepted", "rejected"}


def test_busy_processes_are_gone_afterwards():
    with BusyCores(2) as busy:
        processes = list(busy.processes)
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.poll() is not None for process in processes)


def test_busy_processes_end_with_a_bench_that_is_killed():
    """They share its output, which is read until the last of them is gone."""
    code = "import os; from jackfield.bench.busy import BusyCores; BusyCores(2).__enter__(); os._exit(7)"
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60, check=False)
    assert ended.returncode == 7


def test_the_bandwidth_is_compared_with_the_weights_that_a_token_reads():
    runs = [Figures(1.0, rate, 1.0, 0.0, 0, context_tokens_per_s={64: 9.0}) for rate in (5.0, 7.0, 8.0)]
    rates = MachineRates(read_bytes_per_s=1000.0, int8_ops_per_s=1.0)
    found = summarise("m.gguf", "cpu", Workload(), runs, [], rates, decode_bytes=100)
    assert found["decode_read_share"] == pytest.approx(0.9)


def test_a_mixture_has_more_bits_in_half_of_the_layers():
    bulk, better = tensor_types("Q4_K_M", 28)
    layers = [i for i in range(28) if f"blk.{i}.ffn_down.weight" in better]
    assert (bulk, better["token_embd.weight"]) == ("Q4_K", "Q6_K")
    assert layers == [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]
    assert tensor_types("Q6_K", 28) == ("Q6_K", {})


@pytest.mark.parametrize("family", ["llama", "qwen3moe"])
def test_a_token_reads_every_matrix_and_the_chosen_experts_only(tmp_path: Path, family: str):
    path = make_checkpoint(tmp_path / "tiny.gguf", family, tensor_type="F32")
    with open_checkpoint(path) as checkpoint:
        tensors = checkpoint.tensors
        found = decode_bytes(build_program(checkpoint, Host()), tensors)
        num_used = checkpoint.metadata.integer(f"{family}.expert_used_count", 0)
        expected = 0
        for name, tensor in tensors.items():
            if len(tensor.shape) == 3:
                expected += tensor.data.nbytes * num_used // tensor.shape[0]
            elif len(tensor.shape) == 2 and (name != "token_embd.weight" or "output.weight" not in tensors):
                expected += tensor.data.nbytes
    assert found == expected


ABSENT = f'PYTHONPATH="$(dirname "$0")/absent" exec "{sys.executable}" "$@"'


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (ABSENT, "llama.cpp: not there; install llama-cpp-python, or name the interpreter"),
        (
            "kill -ILL $$",
            "ended without an answer, killed by SIGILL: build llama-cpp-python for this processor",
        ),
        ("exit 3", "ended without an answer, with exit status 3: build"),
        (None, "cannot be run: No such file or directory"),
    ],
)
def test_a_peer_that_does_not_run_is_said_so(
    script: str | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    python = tmp_path / "python"
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "llama_cpp.py").write_text("raise ImportError('not there')")
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o700)
    command = ["bench", "--model", str(path), "--backend", "reference", "--against", "llama.cpp"]
    assert main([*command, "--peer-python", str(python)]) == 2
    assert complaint in capsys.readouterr().err


def test_a_block_format_that_there_is_not_is_said_so(capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "--shape", "tiny", "--type", "Q4K"]) == 2
    assert "no block format is called 'Q4K'. Did you mean 'Q4_K'?" in capsys.readouterr().err


def test_logits_that_cannot_be_written_are_not_computed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    np.savez(tmp_path / "in.npz", tokens_0=np.array([1, 2]))
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    out = tmp_path / "none" / "out.npz"
    assert (
        main(["logits", "--model", str(path), "--tokens", str(tmp_path / "in.npz"), "--out", str(out)]) == 2
    )
    assert "cannot be written: its folder does not exist" in capsys.readouterr().err
