"""``jackfield inspect`` tells the truth about a file."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from jackfield.cli import main
from jackfield.cli.inspect import format_bytes
from jackfield.testing.families import family_named, norm
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
    assert verdict["plugin"].startswith("qwen3moe of jackfield")
    assert verdict["tokenizer"] == "gpt2, 384 tokens"
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


@pytest.mark.parametrize(
    ("architecture", "num_layers", "layers"),
    [
        ("gemma3", 7, "7 attention (6 in a window of 16), 7 feed-forward"),
        ("gemma4", 6, "6 attention (4 in a window of 16), 6 mixture of experts, 6 feed-forward"),
        ("qwen35", 4, "2 attention, 2 gated delta rule, 4 feed-forward"),
        ("nemotron_h", 6, "2 attention, 2 Mamba-2, 2 feed-forward"),
        ("mistral3", 2, "2 attention, 2 feed-forward"),
    ],
)
def test_layers_are_counted_by_what_they_do(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    architecture: str,
    num_layers: int,
    layers: str,
):
    path = make_checkpoint(tmp_path / "tiny.gguf", architecture, num_layers=num_layers)
    verdict = inspected(path, capsys)["verdict"]
    assert verdict["runs"]
    assert verdict["layers"] == layers


@pytest.mark.parametrize(
    ("architecture", "writes"),
    [
        ("llama", "token by token"),
        ("diffusion-gemma", "blocks of 8 tokens, each refined in at most 6 passes"),
    ],
)
def test_how_it_writes_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], architecture: str, writes: str
):
    path = make_checkpoint(tmp_path / "tiny.gguf", architecture, num_layers=3)
    verdict = inspected(path, capsys)["verdict"]
    assert verdict["runs"]
    assert verdict["writes"] == writes
    assert verdict["unused_tensors"] == []
    main(["inspect", str(path)])
    assert writes.split(",")[0] in capsys.readouterr().out


def test_tensors_that_are_read_into_the_program_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make_checkpoint(tmp_path / "tiny.gguf", "phi3")
    assert inspected(path, capsys)["verdict"]["unused_tensors"] == []


def test_unused_tensors_are_counted_by_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    family = family_named("llama")
    names = ("blk.9.nextn.enorm.weight", "blk.9.nextn.hnorm.weight", "v.blk.0.ln1.weight", "mm.bias")
    extra = [norm(name, 4) for name in names]
    family = dataclasses.replace(family, tensors=lambda d, own=family.tensors: [*own(d), *extra])
    main(["inspect", str(make_checkpoint(tmp_path / "tiny.gguf", family))])
    assert re.search(r"unused tensors +blk\.9 \(2 tensors\), v, mm\.bias", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"tokenizer.ggml.model": "bert"}, "no tokenizer named 'bert'; installed: gemma4, gpt2, llama."),
        ({"tokenizer.ggml.model": None}, "required key 'tokenizer.ggml.model' is missing"),
        ({"tokenizer.ggml.pre": "qwenn2"}, "Did you mean 'qwen2'?"),
        ({"qwen3.attention.head_count": 5}, "expected a divisor of the 5 heads"),
    ],
)
def test_everything_that_is_missing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metadata: dict[str, Any], problem: str
):
    path = make_checkpoint(tmp_path / "odd.gguf", "qwen3", metadata=metadata)
    assert main(["inspect", "--json", str(path)]) == 1
    assert problem in json.loads(capsys.readouterr().out)["verdict"]["problem"]


def test_a_vocabulary_without_weights_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    family = dataclasses.replace(family_named("llama"), tensors=lambda dimensions: ())
    path = make_checkpoint(tmp_path / "vocab.gguf", family)
    verdict = inspected(path, capsys)["verdict"]
    assert "the file has a vocabulary but no weights" in verdict["problem"]
    assert verdict["tokenizer"] == "gpt2, 384 tokens"


def test_memory_is_told_beside_what_can_be_taken(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("jackfield.cli.inspect.available_memory_bytes", lambda: 3 << 30)
    main(["inspect", "--context", "128", str(checkpoint)])
    assert re.search(r"memory in all .* for a context of 128; 3 GiB can be\s+taken", capsys.readouterr().out)


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
