"""``jackfield bench`` reports what it measured, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jackfield.bench.figures import Figures, median_figures
from jackfield.bench.shapes import write_shape
from jackfield.cli import main
from jackfield.errors import ConfigError
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


def test_an_interpreter_without_the_peer_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    command = ["bench", "--model", str(path), "--backend", "reference", "--against", "llama.cpp"]
    assert main([*command, "--peer-python", "/bin/false"]) == 2
    assert "install llama-cpp-python" in capsys.readouterr().err
