"""``jackfield doctor`` and ``jackfield plugins``."""

from __future__ import annotations

import json

import pytest

from jackfield.cli import main


def test_doctor_reports_every_backend_as_healthy(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--json"]) == 0
    findings = {finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {"python", "cores", "backend reference", "backend cpu", "backend null"} <= set(findings)
    assert all(finding["healthy"] for finding in findings.values())


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
