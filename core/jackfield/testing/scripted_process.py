"""An engine's process around a scripted engine, which does what its prompts tell it to.

A prompt is obeyed: ``say TEXT``, ``count N`` (N tokens, 1 ms each), ``crash K`` (the process, after K
tokens), ``die`` (the engine's thread alone). The model's name tells how loading goes: ``bad.gguf``,
``crash.gguf``, ``slow.gguf``; ``flaky.gguf`` answers, then dies by itself.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jackfield.backend import OpenProgress
from jackfield.engine.contract import EngineStats, SequenceRequest
from jackfield.errors import CheckpointError
from jackfield.host import Host
from jackfield.service.config import EngineConfig
from jackfield.service.engine_process import main
from jackfield.service.hosting import HostedModel
from jackfield.testing.scripted import ScriptedEngine, scripted_model

__all__ = ["obey", "open_scripted"]

COMMANDS = re.compile(rb"(say|count|crash|die)\b ?(.*)")
CONTEXT = 100_000


def obey(request: SequenceRequest) -> Iterator[int]:
    """Do what the prompt says."""
    text = bytes(token for token in request.prompt if token < 256)
    word, argument = COMMANDS.findall(text.removesuffix(b"assistant\n").rstrip())[-1]
    if word == b"say":
        yield from argument
    elif word == b"crash":
        yield from b"x" * int(argument or 0)
        time.sleep(0.05)  # what was said is on its way
        os.abort()
    elif word == b"count":
        for _ in range(int(argument)):
            time.sleep(0.001)
            yield ord("x")


class _Engine(ScriptedEngine):
    """One whose thread can die while its process lives."""

    failure = ""

    def submit(self, request: SequenceRequest) -> None:
        """Run a sequence, or die of it."""
        if b"die" in bytes(token for token in request.prompt if token < 256):
            self.failure = "the engine died: told to"
        super().submit(request)

    def stats(self) -> EngineStats:
        """Return the counts, and whether it is dead."""
        return replace(super().stats(), failure=self.failure)


def open_scripted(config: EngineConfig, host: Host, progress: OpenProgress | None) -> HostedModel:
    """Return the scripted model, or fail as its name says."""
    file = Path(config.model).name
    if progress is not None:
        progress("scripting", 1, 1)
    if file == "bad.gguf":
        raise CheckpointError(f"{file!r} is damaged: told to be")
    if file == "crash.gguf":
        os.abort()
    if file == "slow.gguf":
        time.sleep(3600)
    if file == "flaky.gguf":
        threading.Timer(0.1, os._exit, (7,)).start()
    return scripted_model(_Engine(obey), file=file, context=CONTEXT)


if __name__ == "__main__":
    main(open_scripted)
