"""Everything the README tells a newcomer to type, typed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jackfield.cli import COMMANDS
from jackfield.testing.served import ServedModel

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEFAULT_URL = "http://localhost:5000"


def block(name: str) -> str:
    """Return the code block that follows the comment of that name."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no block {name!r}"
    return found[1]


@pytest.fixture(scope="module")
def served() -> Iterator[ServedModel]:
    """Serve with the README's own command, on a free port instead of 5000."""
    install, serve = block("serve").splitlines()
    assert install == "pip install -e ."
    assert serve == "jackfield serve"
    with ServedModel(None) as server:
        yield server


def test_it_is_a_door_and_not_an_index():
    assert len(README.splitlines()) <= 150


def test_its_curl_is_answered(served: ServedModel):
    script = block("ask").replace(DEFAULT_URL, served.url)
    command = ["bash", "-euo", "pipefail", "-c", script]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "The capital of France is Paris." in answer.stdout, answer.stderr


def test_its_clients_answer(served: ServedModel):
    program = block("clients").replace(DEFAULT_URL, served.url)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    told, streamed = ran.stdout.split("\n", 1)
    assert told.startswith("Once upon a time")
    assert streamed.strip()


def test_its_table_lists_every_command():
    assert re.findall(r"^\| `jackfield (\w+)` \|", README, re.MULTILINE) == list(COMMANDS)


def test_its_links_lead_somewhere():
    pages = [README, *(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))]
    folders = [ROOT, *([ROOT / "docs"] * (len(pages) - 1))]
    for folder, text in zip(folders, pages, strict=True):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (folder / target).exists(), target
