"""Processes that use a core each and do nothing, as on a machine with other work."""

from __future__ import annotations

import os
import subprocess
import sys
from types import TracebackType

__all__ = ["BusyCores"]

WORK = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""
"""Ends with the process that wanted it, however that ended."""


class BusyCores:
    """So many busy ``processes``, while the context lasts."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> BusyCores:
        command = [sys.executable, "-c", WORK, str(os.getpid())]
        self.processes = [subprocess.Popen(command) for _ in range(self._count)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
