"""Measure llama.cpp on the same file, through llama-cpp-python's low-level interface.

llama-cpp-python is no dependency of Jackfield: it compiles C++ when it is installed. Where it is not in this
environment, ``python`` names the interpreter of one that has it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from jackfield.bench.figures import Figures, Workload
from jackfield.errors import ConfigError

__all__ = ["PeerModel"]

PROGRAM = Path(__file__).with_name("peer_process.py")


class PeerModel:
    """llama.cpp in a process of its own, which measures when it is told to; a context manager.

    Attributes:
        version: That of llama-cpp-python.

    Raises:
        ConfigError: llama-cpp-python is not installed in that environment, or cannot open the file.
    """

    def __init__(self, path: str, workload: Workload, python: str | None = None) -> None:
        command = [python or sys.executable, str(PROGRAM), path, json.dumps(asdict(workload))]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except OSError as error:
            raise ConfigError(f"interpreter {command[0]!r} cannot be run: {error.strerror}") from error
        try:
            opened = self._answer()
            self._load_s, self.version = float(opened["load_s"]), str(opened["version"])
        except ConfigError:
            self.close()
            raise

    def measure(self, workload: Workload) -> Figures:
        """Run the workload once."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(workload)) + "\n")
        self._process.stdin.flush()
        found = self._answer()
        for name in ("batch_tokens_per_s", "context_tokens_per_s"):
            found[name] = {int(key): rate for key, rate in found[name].items()}
        return Figures(load_s=self._load_s, **found)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ConfigError(
                f"llama.cpp's process ended without an answer, {_ending(self._process.wait())}: build"
                " llama-cpp-python for this processor, or name the interpreter of an environment whose build runs"
                " here with --peer-python"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ConfigError(f"llama.cpp: {answer['error']}")
        return answer

    def __enter__(self) -> PeerModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def _ending(status: int) -> str:
    """Return how a process ended, by its exit status."""
    if status >= 0:
        return f"with exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
