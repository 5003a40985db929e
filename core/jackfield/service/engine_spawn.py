"""Starting an engine's process: the first thing a server does, before it loads the modules that it needs itself.

So this module needs little. An *early* engine loads its model while its server is still being put together.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType

from jackfield.errors import BackendError
from jackfield.service.config import EngineConfig
from jackfield.service.frames import Configure, encode_frame

__all__ = ["COMMAND", "OBJECTS_BETWEEN_SEARCHES", "EarlyEngine", "EngineDied", "spawn"]

COMMAND = (sys.executable, "-P", "-m", "jackfield.service.engine_process")
"""``-P``: the folder the server was started in is not where its modules come from."""

OBJECTS_BETWEEN_SEARCHES = 10_000
"""How many objects both processes make before Python looks for garbage: hardly any of what a start makes is."""


class EngineDied(BackendError):
    """The process ended without a word while it loaded the model."""


def spawn(command: Sequence[str] = COMMAND) -> subprocess.Popen[bytes]:
    """Start a process that waits for its configuration. Raises ``EngineDied``."""
    try:
        return subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except OSError as error:  # no more processes or files to be had: later there may be
        raise EngineDied(f"the engine's process cannot be started: {error}") from error


class EarlyEngine:
    """A process that loads a model before anybody listens to it; ended on leaving, unless it was taken.

    Raises:
        EngineDied: It cannot be started.
    """

    def __init__(self, config: EngineConfig, command: Sequence[str] = COMMAND) -> None:
        self._process = spawn(command)
        self._is_taken = False
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):  # whoever takes it will find that it has ended
            pipe.write(encode_frame(Configure(config)))

    def take(self) -> subprocess.Popen[bytes]:
        """Return the process, which is the caller's from now on."""
        self._is_taken = True
        return self._process

    def __enter__(self) -> EarlyEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_taken:
            self._process.kill()
            self._process.communicate()
