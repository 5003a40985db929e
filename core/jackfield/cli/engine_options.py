"""The options of every command that runs a model, and the ``EngineConfig`` they make."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from jackfield.errors import ConfigError
from jackfield.service.config import KV_TYPES, SPECULATIONS, EngineConfig

if TYPE_CHECKING:  # a server starts its engine before it loads plugins
    from jackfield.host import Host

__all__ = ["add_engine_arguments", "engine_config", "is_file", "model_file", "unasked_model_note"]


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose a model and how it is run."""
    group = parser.add_argument_group("model and engine")
    group.add_argument(
        "--model",
        metavar="FILE",
        help="the GGUF file, the first one of a split model, or the name of a model that comes with a plugin"
        " (default: the demonstration model)",
    )
    group.add_argument("--backend", default="auto", help="how to compute (default: the best one here)")
    group.add_argument(
        "--threads", type=int, metavar="N", help="threads to compute with (default: one a core)"
    )
    group.add_argument("--context", type=int, metavar="N", help="most tokens of a conversation")
    group.add_argument("--kv-type", choices=KV_TYPES, default="f16", help="how keys and values are stored")
    group.add_argument(
        "--speculation",
        choices=SPECULATIONS,
        default=os.environ.get("JACKFIELD_SPECULATION", "auto"),
        help="guess tokens from the text itself and verify several at once, where that is faster",
    )
    group.add_argument(
        "--cache-tokens", type=int, metavar="N", help="tokens kept for all conversations together"
    )
    group.add_argument("--max-sequences", type=int, metavar="N", default=16, help="answers computed at once")
    group.add_argument("--chat-format", metavar="NAME", help="how thinking and tool calls are written")
    group.add_argument("--chat-template", metavar="FILE", help="a template to use instead of the model's own")
    group.add_argument("--think", action="store_true", help="let requests that say nothing think")
    group.add_argument("--seed", type=int, metavar="N", help="seed of requests that name none")


def engine_config(arguments: argparse.Namespace, model: str) -> EngineConfig:
    """Return the checked set-up for a model's file. Raises ``ConfigError`` when a value cannot be used."""
    config = EngineConfig(
        model=model,
        backend=arguments.backend,
        threads=arguments.threads,
        context_length=arguments.context,
        kv_type=arguments.kv_type,
        speculation=arguments.speculation,
        cache_tokens=arguments.cache_tokens,
        max_sequences=arguments.max_sequences,
        chat_format=arguments.chat_format,
        chat_template=_template(arguments.chat_template),
        default_think=arguments.think,
        seed=arguments.seed,
    )
    config.check()
    return config


def is_file(named: str | None) -> bool:
    """Tell whether a model was named by its file, so that no plugin has to be asked for it."""
    return named is not None and (named == "" or Path(named).exists())


def model_file(named: str | None, host: Host) -> str:
    """Return the path of the model to run: the named file, or one that a plugin brings along.

    Raises:
        ConfigError: No model was named, and no plugin brings one.
    """
    if named is not None and is_file(named):
        return named
    for model in host.models():
        if named is None or named in model.names:
            path: Path = model.make()
            return str(path)
    if named is None:
        raise ConfigError("no model was named; pass --model with the path of a GGUF file")
    return named


def unasked_model_note(arguments: argparse.Namespace, host: Host) -> str:
    """Return a sentence for users who named no model; empty for those who did."""
    models = [] if arguments.model is not None else host.models()
    return (
        f"No model was named: this is {models[0].summary}. Name another with --model FILE." if models else ""
    )


def _template(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"chat template {path!r} cannot be read: {error}") from error
