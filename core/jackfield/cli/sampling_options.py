"""The sampling options of ``chat`` and ``run``, and the ``Sampling`` they make."""

from __future__ import annotations

import argparse

import msgspec

from jackfield.errors import ConfigError, did_you_mean
from jackfield.service.requests import Sampling

__all__ = ["add_sampling_arguments", "sampling_from", "with_setting"]


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say how tokens are picked."""
    group = parser.add_argument_group("sampling (greedy unless a temperature is given)")
    group.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of an answer")
    group.add_argument("--temperature", type=float, default=0.0, metavar="T")
    group.add_argument("--top-k", type=int, default=0, metavar="K")
    group.add_argument("--top-p", type=float, default=1.0, metavar="P")
    group.add_argument("--min-p", type=float, default=0.0, metavar="P")
    group.add_argument("--repeat-penalty", type=float, default=1.0, metavar="R")
    group.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="may be given several times"
    )


def sampling_from(arguments: argparse.Namespace) -> Sampling:
    """Return the sampling the options ask for; without ``--max-tokens`` the context is the limit."""
    return Sampling(
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        min_p=arguments.min_p,
        repeat_penalty=arguments.repeat_penalty,
        stop=arguments.stop,
        seed=arguments.seed,
    )


def with_setting(sampling: Sampling, name: str, text: str) -> Sampling:
    """Return the sampling with one field read from text.

    Raises:
        ConfigError: No such field, or a text that is no value of it.
    """
    fields = Sampling.__struct_fields__
    if name not in fields:
        raise ConfigError(f"no setting {name!r}; known: {', '.join(fields)}.{did_you_mean(name, fields)}")
    try:
        value = msgspec.convert({name: _literal(text)}, Sampling)
    except msgspec.ValidationError as error:
        raise ConfigError(f"setting {name!r} cannot be {text!r}: {error}") from error
    return msgspec.structs.replace(sampling, **{name: getattr(value, name)})


def _literal(text: str) -> object:
    """Read JSON where the text is JSON (numbers, true, null, lists), else take it as it is."""
    try:
        value: object = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value
