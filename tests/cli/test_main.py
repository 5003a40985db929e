"""The command line's front: which command runs, and how a mistake ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jackfield import __version__
from jackfield.cli import COMMANDS, main
from jackfield.cli.engine_options import model_file
from jackfield.host import Host


def test_without_arguments_every_command_is_listed(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in COMMANDS)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"jackfield {__version__}"


def test_an_unknown_command_offers_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert main(["inspct"]) == 2
    assert "no command 'inspct'. Did you mean 'inspect'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: jackfield {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--prot", "1"], "unrecognized arguments: --prot 1"),
        (["--port", "x"], "argument --port: invalid int value: 'x'"),
    ],
)
def test_a_wrong_flag_ends_in_one_sentence(
    flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        main(["serve", *flags])
    assert end.value.code == 2
    assert (
        capsys.readouterr().err == f"jackfield serve: {complaint}; jackfield serve --help lists the options\n"
    )


def test_a_folder_of_models_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["serve", "--model-dir", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.endswith("none', expected a folder of GGUF files\n")


@pytest.mark.parametrize("name", ["serve", "chat", "run"])
def test_where_no_model_comes_along_one_sentence_says_what_to_pass(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JACKFIELD_PLUGINS", "reference")
    assert main([name]) == 2
    assert capsys.readouterr().err == (
        f"jackfield {name}: no model was named; pass --model with the path of a GGUF file\n"
    )


def test_a_file_comes_before_a_model_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    host = Host()
    monkeypatch.chdir(tmp_path)
    assert model_file("demo", host).endswith("demo.gguf")
    (tmp_path / "demo").touch()
    assert model_file("demo", host) == "demo"


def test_a_file_that_is_no_model_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "text.gguf"
    path.write_text("this is no model")
    assert main(["inspect", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "text.gguf" in error


def test_a_reader_that_has_had_enough_ends_a_command_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "jackfield.cli", "plugins", "--json"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--jsonl", "-", "hi"], "a prompt beside --jsonl would be left out"),
        (["--out", "x", "hi"], "--out says where"),
    ],
)
def test_flags_of_run_that_exclude_each_other_are_refused(
    flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["run", *flags]) == 2
    assert complaint in capsys.readouterr().err


def test_listing_plugins_imports_neither_numba_nor_the_web_framework():
    code = (
        "import sys; from jackfield.cli import main; main(['plugins']);"
        "sys.exit(bool({'numba', 'litestar', 'uvicorn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_serve_starts_its_engine_before_it_imports_what_a_server_needs():
    code = (
        "import sys, jackfield.cli.serve;"
        "sys.exit(bool({'numpy', 'litestar', 'uvicorn', 'rich', 'jackfield.host'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_server_with_every_protocol_imports_no_compiler():
    code = (
        "import sys; import jackfield.cli.serving; from jackfield.host import Host;"
        "from jackfield.server import ServerSettings, build_app; from jackfield.testing.service import FakeService;"
        "build_app(ServerSettings(), FakeService(), Host());"
        "sys.exit(bool({'numba', 'llvmlite'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
