"""Serve a model over HTTP: Ollama, OpenAI and Web UI clients on one port.

Environment: JACKFIELD_API_KEY sets a key without showing it in the process list; JACKFIELD_PLUGINS limits
the plugins that are loaded; JACKFIELD_TRACE=hooks logs every hook call.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import time

import msgspec

from jackfield.cli.engine_options import add_engine_arguments, engine_config, is_file, model_file
from jackfield.service.engine_spawn import OBJECTS_BETWEEN_SEARCHES, EarlyEngine

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_engine_arguments(parser)
    parser.add_argument_group("more models").add_argument(
        "--model-dir", metavar="DIR", help="folder of GGUF files that /api/models/load may load"
    )
    group = parser.add_argument_group("network")
    group.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    group.add_argument("--port", type=int, default=5000)
    group.add_argument("--ollama-port", type=int, metavar="N", help="a second port, such as Ollama's 11434")
    group.add_argument(
        "--api-key", action="append", default=[], metavar="KEY", help="may be given several times"
    )
    group.add_argument("--insecure", action="store_true", help="listen on the network without a key")
    group.add_argument("--cors-origin", action="append", default=[], metavar="ORIGIN")
    group.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="accept this Host too"
    )
    group.add_argument("--drain", type=float, default=30.0, metavar="SECONDS", help="grace after SIGTERM")
    logs = parser.add_argument_group("logs")
    logs.add_argument("--log-json", action="store_true", help="one JSON object a line")
    logs.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))


def execute(arguments: argparse.Namespace) -> int:
    """Serve until a signal; the exit status is the server's.

    What a server needs is imported when its engine's process is on its way: both take as long.
    """
    started_s = time.monotonic()
    gc.set_threshold(OBJECTS_BETWEEN_SEARCHES)
    model, host = arguments.model, None
    if not is_file(model):
        from jackfield.host import Host

        host = Host()
        model = model_file(model, host)
    config = msgspec.structs.replace(engine_config(arguments, model), model_dir=arguments.model_dir)
    config.check()
    with EarlyEngine(config) if model else contextlib.nullcontext() as early:
        from jackfield.cli.serving import serve_model

        return serve_model(arguments, config, host, early, started_s)
