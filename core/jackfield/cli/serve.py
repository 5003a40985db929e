"""Serve a model over HTTP: Ollama, OpenAI and Web UI clients on one port.

Environment: JACKFIELD_API_KEY sets a key without showing it in the process list; JACKFIELD_PLUGINS limits
the plugins that are loaded; JACKFIELD_TRACE=hooks logs every hook call.
"""

from __future__ import annotations

import argparse
import logging
import os
import time

import msgspec
from rich.console import Console

from jackfield.cli.engine_options import add_engine_arguments, engine_config, unasked_model_note
from jackfield.cli.progress import LoadProgress
from jackfield.host import Host
from jackfield.server import ServerSettings
from jackfield.server.run import serve
from jackfield.service.child import ChildService

__all__ = ["add_arguments", "execute"]

log = logging.getLogger("jackfield.cli.serve")


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
    """Serve until a signal; the exit status is the server's."""
    host = Host()
    config = msgspec.structs.replace(engine_config(arguments, host), model_dir=arguments.model_dir)
    settings = _settings(arguments)
    note = unasked_model_note(arguments, host)
    started_s = time.monotonic()
    with LoadProgress(f"loading {os.path.basename(config.model)}", quiet=arguments.log_json) as progress:
        service = ChildService(config, host, on_progress=progress.report)

        def announce(urls: list[str]) -> None:
            progress.stop()
            if not arguments.log_json:
                _print_ready(service, urls, time.monotonic() - started_s, note)
            elif note:
                log.info(note)

        return serve(settings, service, host, when_ready=announce)


def _settings(arguments: argparse.Namespace) -> ServerSettings:
    keys = [*arguments.api_key, *filter(None, [os.environ.get("JACKFIELD_API_KEY", "")])]
    return ServerSettings(
        host=arguments.host,
        port=arguments.port,
        extra_ports=(arguments.ollama_port,) if arguments.ollama_port else (),
        api_keys=tuple(keys),
        insecure=arguments.insecure,
        cors_origins=tuple(arguments.cors_origin),
        allow_hosts=tuple(arguments.allow_host),
        default_backend=arguments.backend,
        drain_s=arguments.drain,
        json_logs=arguments.log_json,
        log_level=arguments.log_level,
    )


def _print_ready(service: ChildService, urls: list[str], took_s: float, note: str) -> None:
    model = service.status().model
    console = Console(stderr=True, highlight=False)
    if model is not None:
        console.print(
            f"[bold]{model.file}[/] · {model.architecture} · {model.quantization} · backend {model.backend}"
            f" · context {model.context_length}"
        )
    if note:
        console.print(note)
    console.print(f"ready in {took_s:.1f} s on {'  '.join(f'[link={url}]{url}[/]' for url in urls)}")
    console.print("[dim]Ctrl-C stops it once running answers are done; a second Ctrl-C stops it at once.[/]")
