"""The smallest useful protocol: what the rail's own tests mount, and an example to start from.

``POST /plain/generate`` with ``{"prompt": "…", "stream": true}`` streams one JSON line per event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request, Response, post

from jackfield.descriptors import ProtocolDescriptor
from jackfield.hooks import hookimpl
from jackfield.server import (
    CONVERSATION,
    ErrorSurface,
    ProtocolRoutes,
    Rail,
    collect,
    convert,
    decode_json,
    json_response,
    open_stream,
    read_body,
    while_connected,
)
from jackfield.service.events import Event, Failed, Finished, QueuePlace, TextDelta
from jackfield.service.requests import GenerationRequest

__all__ = ["jackfield_protocols", "mount"]


@hookimpl
def jackfield_protocols() -> list[ProtocolDescriptor]:
    """Declare the protocol; a test registers this module as a plugin."""
    return [
        ProtocolDescriptor(
            name="plain", summary="for tests", factory="jackfield.testing.plain_protocol:mount"
        )
    ]


class PlainBody(msgspec.Struct):
    """What a client sends."""

    prompt: str
    stream: bool = True
    choices: int = 1


class PlainLines:
    """What a client gets: one line for each event it has a word for."""

    media_type = "application/x-ndjson"

    def render(self, event: Event) -> Iterable[bytes]:
        """Return at most one line."""
        match event:
            case TextDelta():
                yield _line({"text": event.text})
            case QueuePlace():
                yield _line({"place": event.position})
            case Finished():
                yield _line({"finished": event.reason})
            case Failed():
                yield _line({"failed": event.error.message})
            case _:
                return

    def end(self) -> Iterable[bytes]:
        """Return the last line."""
        return [_line({"end": True})]

    def heartbeat(self) -> bytes:
        """Return a line without text."""
        return _line({"text": ""})


def mount(rail: Rail) -> ProtocolRoutes:
    """Return the routes."""

    @post("/plain/generate", opt=CONVERSATION, status_code=200)
    async def generate(request: Request[Any, Any, Any]) -> Response[Any]:
        body = convert(decode_json(await read_body(request), rail.settings.bodies), PlainBody)
        identity = rail.identity(request)
        wanted = GenerationRequest(
            id=identity.request_id,
            protocol="plain",
            model="echo-tiny.gguf",
            prompt=body.prompt,
            num_choices=body.choices,
            priority_key=identity.owner,
        )
        events = rail.service.generate(wanted)
        if body.stream:
            return await open_stream(rail, request, events, PlainLines(), num_choices=body.choices)
        collected = await collect(rail, request, events, num_choices=body.choices)
        return json_response({"text": "".join(e.text for e in collected if isinstance(e, TextDelta))})

    @post("/plain/load", status_code=200)
    async def load(request: Request[Any, Any, Any]) -> Response[Any]:
        model = await while_connected(request, rail.service.load("echo-tiny.gguf"))
        return json_response({"loaded": model.file})

    return ProtocolRoutes(
        handlers=[generate, load],
        errors=[
            ErrorSurface(prefixes=("/plain",), body=lambda error, status: {"plain": [status, error.message]})
        ],
    )


def _line(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
