"""The tutorial's distribution as a stranger would use it: installed with pip, listed, inspected, run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jackfield.testing.tiny import make_checkpoint

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "jackfield-olmo2"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the example into a folder of its own and return an environment that sees it."""
    folder = tmp_path_factory.mktemp("site")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder),
        str(EXAMPLE),
    ]
    subprocess.run(pip, check=True, timeout=120)
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """Write a small checkpoint of the example's family."""
    sys.path.insert(0, environment["PYTHONPATH"])
    sys.path.insert(0, str(EXAMPLE))
    try:
        from test_olmo2 import FAMILY
    finally:
        del sys.path[:2]
    return make_checkpoint(tmp_path_factory.mktemp("models") / "tiny-olmo2.gguf", FAMILY)


def jackfield(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jackfield.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_the_plugin_is_listed_with_its_distribution(environment: dict[str, str]):
    listed = json.loads(jackfield(environment, "plugins", "--json").stdout)
    found = next(plugin for plugin in listed if plugin["name"] == "olmo2")
    assert (found["distribution"], found["version"], found["state"]) == ("jackfield-olmo2", "0.1.0", "loaded")
    assert found["declares"] == ["architecture olmo2"]


def test_its_files_are_inspected_and_answered(environment: dict[str, str], checkpoint: Path):
    verdict = json.loads(jackfield(environment, "inspect", "--json", str(checkpoint)).stdout)["verdict"]
    assert verdict["architecture"] == "olmo2"
    assert not verdict["unused_tensors"]
    answer = jackfield(
        environment, "run", "--model", str(checkpoint), "--backend", "reference", "--max-tokens", "4", "Hello"
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()


def test_without_the_plugin_the_error_names_the_family(checkpoint: Path):
    answer = jackfield(dict(os.environ), "run", "--model", str(checkpoint), "Hello")
    assert answer.returncode == 2
    assert "no architecture named 'olmo2'" in answer.stderr


def test_it_passes_the_suite(environment: dict[str, str]):
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", str(EXAMPLE)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout


def test_the_tutorials_python_is_the_examples_own():
    sources = [file.read_text(encoding="utf-8") for file in EXAMPLE.glob("*.py")]
    page = (DOCS / "write-an-architecture.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert snippets
    lines = {line.strip() for source in sources for line in source.splitlines()}
    for snippet in snippets:
        assert {line.strip() for line in snippet.splitlines()} <= lines


def test_it_makes_a_small_model_to_try(environment: dict[str, str], tmp_path: Path):
    found = {**environment, "PYTHONPATH": os.pathsep.join([environment.get("PYTHONPATH", ""), str(EXAMPLE)])}
    subprocess.run(
        [sys.executable, str(EXAMPLE / "make_model.py")], env=found, cwd=tmp_path, check=True, timeout=120
    )
    assert (tmp_path / "model.gguf").stat().st_size > 0
