"""The sandbox a model file's chat template runs in: what published templates need, and nothing that loads.

Templates are untrusted. The sandbox keeps them from Python's internals; time, memory and output are bounded
by the process it runs in.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, NoReturn, cast

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from jackfield.text.rendering import MARKS

__all__ = ["make_environment", "set_clock"]

_NOT_ASCII = re.compile(f"[^\x00-\x7f{MARKS[0]}-{MARKS[-1]}]")
_DROPPED_GLOBALS = ("lipsum", "cycler", "joiner")


class GenerationTag(Extension):
    """Render the body of ``{% generation %}``, which marks an assistant's words for training."""

    tags = {"generation"}  # noqa: RUF012 - the attribute jinja2 declares is a set

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the body's nodes."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def make_environment() -> jinja2.Environment:
    """Return an environment that behaves as the libraries do that templates are written for."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        autoescape=False,
        extensions=["jinja2.ext.loopcontrols", GenerationTag],
    )
    environment.filters["tojson"] = to_json
    names = cast("dict[str, Any]", environment.globals)
    for name in _DROPPED_GLOBALS:
        del names[name]
    names["namespace"] = make_namespace
    names["raise_exception"] = raise_exception
    set_clock(environment, datetime.now())
    return environment


def set_clock(environment: jinja2.Environment, now: datetime) -> None:
    """Pin what ``strftime_now`` answers."""
    cast("dict[str, Any]", environment.globals)["strftime_now"] = now.strftime


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as ``json.dumps`` does: in the order the client sent, nothing escaped for HTML."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys)
    return _NOT_ASCII.sub(_escape, text) if ensure_ascii else text


def make_namespace(*args: Any, **names: Any) -> Namespace:
    """Return a template's namespace; names with an underscore in front are refused like attributes are."""
    for name in names:
        if name.startswith("_"):
            raise jinja2.TemplateError(f"namespace name {name!r} begins with an underscore")
    return Namespace(*args, **names)


def raise_exception(message: object) -> NoReturn:
    """Let a template refuse a conversation."""
    raise jinja2.TemplateError(str(message))


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
