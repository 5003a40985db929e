"""Prompts as shells and files give them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from jackfield.cli import main

REPEATS = ["run", "--backend", "null"]
"""A run whose answer costs nothing."""


def test_bytes_that_are_no_text_do_not_keep_a_prompt_from_its_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    piped = io.TextIOWrapper(io.BytesIO(b"say \xff"), encoding="utf-8", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdin", piped)
    assert main([*REPEATS, "--system", "be \udcff", "--max-tokens", "3"]) == 0
    assert capsys.readouterr().err == ""


def test_lines_take_tools_in_either_form(tmp_path: Path):
    jobs, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    function = {"name": "f", "parameters": {"type": "object"}}
    forms = [[function], [{"type": "function", "function": function}], [{"type": "function"}], 5]
    lines = [json.dumps({"prompt": "x", "tools": tools, "max_tokens": 1}) for tools in forms]
    jobs.write_text("\n".join(lines))
    assert main([*REPEATS, "--jsonl", str(jobs), "--out", str(out)]) == 1
    errors = [json.loads(line).get("error", "") for line in out.read_text().splitlines()]
    assert errors[:2] == ["", ""]
    assert all("line is not a job" in error for error in errors[2:])
