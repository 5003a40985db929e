"""``jackfield inspect`` tells the truth about a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jackfield.cli import main
from jackfield.cli.inspect import format_bytes
from jackfield.testing.tiny import make_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "tiny.gguf", "qwen3moe", tensor_type="Q8_0")


def inspected(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict:
    main(["inspect", "--json", *options, str(path)])
    return json.loads(capsys.readouterr().out)


def test_a_model_that_runs_is_described(checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    found = inspected(checkpoint, capsys, "--tensors")
    verdict = found["verdict"]
    assert verdict["architecture"] == "qwen3moe"
    assert verdict["layers"] == "2 attention, 2 mixture of experts"
    rows = {tensor["name"]: tensor["shape"][0] for tensor in found["tensors"]}
    kept = sum(rows[f"blk.{layer}.attn_{part}.weight"] for layer in range(2) for part in "kv")
    assert verdict["kv_bytes_per_token"] == kept * 2  # float16
    assert dict(verdict["backends"])["reference"] == "runs"
    assert verdict["unused_tensors"] == []
    assert found["formats"]["Q8_0"] > 0
    assert {tensor["name"] for tensor in found["tensors"]} >= {"token_embd.weight", "blk.0.attn_q.weight"}


def test_a_larger_context_needs_more_memory(checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    small = dict(inspected(checkpoint, capsys, "--context", "1024")["verdict"]["memory"])
    large = dict(inspected(checkpoint, capsys, "--context", "4096")["verdict"]["memory"])
    assert large["kv_bytes"] == 4 * small["kv_bytes"]


def test_an_unknown_architecture_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make_checkpoint(tmp_path / "odd.gguf", "llama", metadata={"general.architecture": "llamma"})
    assert main(["inspect", "--json", str(path)]) == 1
    problem = json.loads(capsys.readouterr().out)["verdict"]["problem"]
    assert "no architecture named 'llamma'" in problem
    assert "Did you mean 'llama'?" in problem


def test_the_table_names_every_backend(checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    main(["inspect", str(checkpoint)])
    table = capsys.readouterr().out
    assert all(name in table for name in ("backend reference", "backend cpu", "backend null"))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1.5 * 2**30, "1.5 GiB"), (2**50, "1.05e+06 GiB")],
)
def test_sizes_are_written_short(size: float, text: str):
    assert format_bytes(size) == text
