"""``jackfield doctor`` and ``jackfield plugins``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jackfield.cli import main
from jackfield.testing.tiny import make_checkpoint


def test_doctor_reports_every_backend_as_healthy(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--json", "--quick"]) == 0
    findings = {finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {"python", "cores", "backend reference", "backend cpu", "backend null"} <= set(findings)
    assert all(finding["healthy"] for finding in findings.values())


def test_doctor_decodes_with_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama")
    assert main(["doctor", "--json", "--quick", "--threads", "1", "--model", str(path)]) == 0
    [found] = [f for f in json.loads(capsys.readouterr().out) if f["subject"] == "decoding"]
    assert re.fullmatch(
        r"[\d.]+ tokens/s on cpu: [\d.]+ GB/s of weights, \d+% of the memory's", found["found"]
    )


def test_every_plugin_of_ours_is_loaded(capsys: pytest.CaptureFixture[str]):
    assert main(["plugins", "--json"]) == 0
    listed = {plugin["name"]: plugin for plugin in json.loads(capsys.readouterr().out)}
    assert listed["llama"]["declares"] == ["architecture llama"]
    assert listed["llama"]["hooks"] == ["jackfield_architectures"]
    assert all(plugin["state"] == "loaded" for plugin in listed.values())


def test_a_blocked_plugin_is_shown_as_such(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JACKFIELD_PLUGINS", "llama,reference")
    assert main(["plugins", "--json"]) == 0
    states = {plugin["name"]: plugin["state"] for plugin in json.loads(capsys.readouterr().out)}
    assert states["llama"] == "loaded"
    assert states["qwen3"] == "blocked"
