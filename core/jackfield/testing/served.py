"""``jackfield serve`` as a process of its own, on a free port: for tests of the whole product."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

__all__ = ["ServedModel"]

READY = re.compile(r"ready in .* on .*?(http://[\w.\[\]:]+)")


class ServedModel:
    """Serve a checkpoint while the ``with`` block runs.

    Args:
        model: The GGUF file; ``None`` to name none and be served what comes along.
        options: Further arguments of ``jackfield serve``.
        environment: Variables to set beside this process's own.
        start_s: Longest wait for the line that says it is ready.

    Attributes:
        url: Where it answers.
        process: The server's process.
    """

    def __init__(
        self,
        model: str | Path | None,
        *options: str,
        environment: Mapping[str, str] | None = None,
        start_s: float = 120.0,
    ) -> None:
        named = () if model is None else ("--model", str(model))
        self._command = [sys.executable, "-m", "jackfield.cli", "serve", *named, "--port", "0", *options]
        self._environment = {**os.environ, **(environment or {})}
        self._start_s = start_s
        self._opened = ExitStack()
        self.url = ""
        self.process: subprocess.Popen[str]

    def __enter__(self) -> ServedModel:
        self._log = self._opened.enter_context(tempfile.TemporaryFile(mode="w+"))
        self.process = subprocess.Popen(
            self._command, env=self._environment, stdout=self._log, stderr=self._log, text=True
        )
        deadline_s = time.monotonic() + self._start_s
        while not (ready := READY.search(self.log())):
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                self.stop(signal.SIGKILL)
                raise RuntimeError(f"the server did not start:\n{self.log()}")
            time.sleep(0.02)
        self.url = ready[1]
        return self

    def log(self) -> str:
        """Return all it has printed so far."""
        self._log.seek(0)
        return self._log.read()

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop(timeout_s=20.0)
        except subprocess.TimeoutExpired:
            self.stop(signal.SIGKILL)
        self._opened.close()
