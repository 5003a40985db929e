"""What ``jackfield serve`` does while its engine loads: plugins, settings, the server, and what it says."""

from __future__ import annotations

import argparse
import logging
import os
import time

from rich.console import Console

from jackfield.cli.engine_options import unasked_model_note
from jackfield.cli.progress import LoadProgress
from jackfield.host import Host
from jackfield.server import ServerSettings
from jackfield.server.run import serve
from jackfield.service.child import ChildService
from jackfield.service.config import EngineConfig
from jackfield.service.engine_spawn import EarlyEngine

__all__ = ["serve_model"]

log = logging.getLogger("jackfield.cli.serve")


def serve_model(
    arguments: argparse.Namespace,
    config: EngineConfig,
    host: Host | None,
    early: EarlyEngine | None,
    started_s: float,
) -> int:
    """Serve until a signal and return the exit status.

    Args:
        host: The plugins, where they are loaded already.
        early: A process that loads the model already.
        started_s: When the command began, by the monotonic clock.
    """
    host = host or Host()
    settings = _settings(arguments)
    note = unasked_model_note(arguments, host)
    with LoadProgress(f"loading {os.path.basename(config.model)}", quiet=arguments.log_json) as progress:
        service = ChildService(config, host, on_progress=progress.report, early=early)

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
