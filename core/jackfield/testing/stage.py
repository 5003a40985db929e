"""A service around a scripted engine, asked from ordinary functions.

stage = Stage(saying("Hello"))
[events] = stage.ask(make_request(user="Hi"))
assert text_of(events) == "Hello"
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from jackfield.backend import OpenProgress
from jackfield.host import Host
from jackfield.service.config import EngineConfig
from jackfield.service.contract import Service
from jackfield.service.events import Event, Failed, Finished, TextDelta, ThinkingDelta
from jackfield.service.hosting import HostedModel
from jackfield.service.requests import GenerationRequest, Message, Sampling
from jackfield.service.thread import ThreadService
from jackfield.testing.byte_text import ByteTokenizer, TagFormat
from jackfield.testing.scripted import Script, ScriptedEngine, scripted_model
from jackfield.text.contract import ChatFormat

__all__ = [
    "FILE",
    "Stage",
    "collect",
    "ending_of",
    "error_of",
    "make_request",
    "run_service",
    "saying",
    "text_of",
    "thinking_of",
]

FILE = "scripted.gguf"
R = TypeVar("R")
S = TypeVar("S", bound=Service)


def saying(text: str) -> Script:
    """Return a script that says a text; control tokens may be spelt in it."""
    tokens = ByteTokenizer().encode(text, parse_special=True)
    return lambda request: tokens


def make_request(**fields: Any) -> GenerationRequest:
    """Return a request; ``user`` stands for one user message, and sampling fields may be given directly."""
    if "user" in fields:
        fields["messages"] = [Message("user", fields.pop("user"))]
    names = {field.name for field in msgspec.structs.fields(Sampling)}
    sampling = Sampling(**{name: fields.pop(name) for name in list(fields) if name in names})
    defaults: dict[str, Any] = {"id": "r1", "protocol": "test", "model": FILE, "sampling": sampling}
    return GenerationRequest(**{**defaults, **fields})


async def collect(service: Service, request: GenerationRequest) -> list[Event]:
    """Return all events of a request."""
    return [event async for event in service.generate(request)]


def run_service(service: S, use: Callable[[S], Awaitable[R]]) -> R:
    """Start a service, await ``use`` of it, stop it."""

    async def session() -> R:
        await service.start()
        try:
            return await use(service)
        finally:
            await service.stop(0.0)

    return asyncio.run(session())


def text_of(events: list[Event], choice: int = 0) -> str:
    """Return a choice's answer."""
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.choice == choice)


def thinking_of(events: list[Event]) -> str:
    """Return the reasoning."""
    return "".join(event.text for event in events if isinstance(event, ThinkingDelta))


def ending_of(events: list[Event]) -> Finished:
    """Return the last event, which must be an end without an error."""
    last = events[-1]
    assert isinstance(last, Finished), last
    return last


def error_of(events: list[Event]) -> Failed:
    """Return the last event, which must be an error."""
    last = events[-1]
    assert isinstance(last, Failed), last
    return last


class Stage:
    """A scripted engine with a service around it.

    Args:
        plugins: For the service's host, by name; nothing else is loaded.
        context: Context length of the model.
        chat_format: Instead of the tags of ``jackfield.testing.byte_text``.
        delay_s: Pause before each token.
        config: Fields of ``EngineConfig``.
    """

    def __init__(
        self,
        script: Script,
        *,
        plugins: Mapping[str, object] | None = None,
        context: int = 512,
        delay_s: float = 0.0,
        chat_format: ChatFormat | None = None,
        **config: Any,
    ) -> None:
        self.engine = ScriptedEngine(script, delay_s)
        self.context = context
        self.chat_format = chat_format or TagFormat()
        self.host = Host(plugins, installed=False)
        fields: dict[str, Any] = {"model": FILE, **config}
        self.config = EngineConfig(**fields)

    def make_service(self) -> ThreadService:
        """Return a service that is not started yet."""
        return ThreadService(self.config, self.host, opener=self._open)

    def run(self, use: Callable[[ThreadService], Awaitable[R]]) -> R:
        """Start a service, await ``use`` of it, stop it."""
        return run_service(self.make_service(), use)

    def ask(self, *requests: GenerationRequest) -> list[list[Event]]:
        """Return the events of each request; one follows the other."""

        async def use(service: ThreadService) -> list[list[Event]]:
            return [await collect(service, request) for request in requests]

        return self.run(use)

    def _open(self, config: EngineConfig, host: Host, progress: OpenProgress | None) -> HostedModel:
        model = scripted_model(self.engine, file=Path(config.model).name, context=self.context)
        return dataclasses.replace(model, chat_format=self.chat_format)
