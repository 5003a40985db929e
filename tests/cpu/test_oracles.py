"""The numba backend against independent implementations: exact in floats, within rounding in int8."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jackfield.cli import logits
from jackfield.host import Host

pytestmark = [pytest.mark.oracle, pytest.mark.jit]

FLOAT_MODELS = ["llama/model", "qwen2/model", "qwen2/model-BF16", "qwen3/model", "qwen3moe/model"]
QUANTISED_MODELS = [
    *(
        f"llama/model-{kind}"
        for kind in ("Q2_K", "Q3_K_M", "Q4_0", "Q4_1", "Q4_K_M", "Q5_0", "Q5_1", "Q5_K_M")
    ),
    *(f"llama/model-{kind}" for kind in ("Q6_K", "Q8_0", "IQ4_NL", "IQ4_XS", "MXFP4")),
    *(f"qwen3/model-{kind}" for kind in ("Q2_K", "Q3_K_M", "Q4_K_M", "Q8_0", "MXFP4")),
    *(f"qwen3moe/model-{kind}" for kind in ("Q4_K_M", "IQ4_XS")),
]


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


def compare(host: Host, oracles: Path, out: Path, name: str, profile: str, num_greedy: int = 0) -> str:
    """Compute with the cpu backend and return the comparison's report."""
    model = oracles / f"{name}.gguf"
    reference = model.with_name(model.stem.replace("model", "reference") + ".npz")
    logits.run(host, model, "cpu", reference, out, num_greedy)
    command = [sys.executable, oracles / "compare.py", reference, out, "--profile", profile]
    verdict = subprocess.run(command, capture_output=True, text=True, check=False)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    return verdict.stdout


@pytest.mark.parametrize("name", FLOAT_MODELS)
def test_float_weights_are_exact_and_continue_the_same(host: Host, oracles: Path, tmp_path: Path, name: str):
    report = compare(host, oracles, tmp_path / "found.npz", name, "f32", num_greedy=32)
    assert report.count("32 tokens equal") == 3


@pytest.mark.parametrize("name", QUANTISED_MODELS)
def test_quantised_weights_stay_within_int8_rounding(host: Host, oracles: Path, tmp_path: Path, name: str):
    compare(host, oracles, tmp_path / "found.npz", name, "int8")
