"""Logits and greedy continuations of independent implementations, on random models of real families."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jackfield.cli import logits
from jackfield.engine.loading import load_model
from jackfield.engine.single import SingleSequence
from jackfield.host import Host

pytestmark = pytest.mark.oracle

MODELS = [
    "llama/model.gguf",
    "llama/model-Q4_K_M.gguf",
    "llama/model-IQ4_XS.gguf",
    "qwen2/model-BF16.gguf",
    "qwen2/model.gguf",
    "qwen3/model.gguf",
    "qwen3/model-Q3_K_M.gguf",
    "qwen3/model-MXFP4.gguf",
    "qwen3moe/model.gguf",
    "qwen3moe/model-Q4_K_M.gguf",
    "mistral/model.gguf",
    "ministral3/model.gguf",
    "phi3/model.gguf",
    "gemma2/model.gguf",
    "gemma3/model.gguf",
    "gemma4_e/model.gguf",
    "gemma4_moe/model.gguf",
    "gemma4_31b/model.gguf",
    "gpt_oss/model.gguf",
    "gpt_oss/model-MXFP4_MOE.gguf",
    "nemotron_h/model.gguf",
    "nemotron_h_moe/model.gguf",
    "qwen3next/model.gguf",
    "qwen35/model.gguf",
    "qwen35_mtp/model.gguf",
    "qwen35moe/model.gguf",
]
NUM_GREEDY = 8


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


@pytest.mark.parametrize("name", MODELS)
def test_reference_backend_agrees_in_float32(host: Host, oracles: Path, tmp_path: Path, name: str) -> None:
    model, found = oracles / name, tmp_path / "found.npz"
    expected = model.with_name(model.stem.replace("model", "reference") + ".npz")
    logits.run(host, model, "reference", expected, found, NUM_GREEDY)
    command = [sys.executable, oracles / "compare.py", expected, found, "--profile", "f32"]
    verdict = subprocess.run(command, capture_output=True, text=True, check=False)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def test_a_trained_model_tells_its_stories(host: Host, oracles: Path) -> None:
    folder = oracles / "stories260K"
    stories = json.loads((folder / "continuations.json").read_text())
    with load_model(folder / "stories260K-F32.gguf", host, "reference") as loaded:
        for story in stories:
            sequence = SingleSequence(loaded.executable, loaded.limits)
            first = sequence.feed(story["prompt_ids"])[0]
            expected = story["F32"]["ids"]
            assert sequence.greedy(first, len(expected)) == expected


def test_31_steps_of_decoding_agree(host: Host, oracles: Path, tmp_path: Path) -> None:
    """The logits that choose the last greedy token, against one forward pass over all tokens."""
    with np.load(oracles / "qwen3" / "reference.npz") as reference:
        tokens = np.concatenate([reference["tokens_1"], reference["greedy_1"][:31]])
        expected = reference["hf_last_logits_1"]
    prompts, out = tmp_path / "prompts.npz", tmp_path / "out.npz"
    np.savez(prompts, tokens_0=tokens.astype(np.int32), positions_0=[len(tokens) - 1])
    logits.run(host, oracles / "qwen3" / "model.gguf", "reference", prompts, out)
    with np.load(out) as found:
        assert np.abs(found["logits_0"] - expected).max() < 2e-3
