"""The routes of the Anthropic protocol."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post

from jackfield.server import (
    CONVERSATION,
    ProtocolRoutes,
    Rail,
    answer_dry_run,
    collect,
    decode_json,
    json_response,
    open_stream,
    read_body,
    while_connected,
)
from jackfield_protocols.anthropic.errors import SURFACE
from jackfield_protocols.anthropic.frames import MessageAnswer, MessageEvents
from jackfield_protocols.anthropic.requests import (
    conversation_of,
    decode_count,
    decode_messages,
    messages_request,
    thinking_of,
)

__all__ = ["mount"]

AnyRequest = Request[Any, Any, Any]


def mount(rail: Rail) -> ProtocolRoutes:
    """Return the routes below ``/v1/messages``."""

    @post("/v1/messages", opt=CONVERSATION, status_code=200)
    async def messages(request: AnyRequest) -> Response[Any]:
        body = decode_messages(decode_json(await read_body(request)))
        identity = rail.identity(request)
        wanted = messages_request(
            body,
            can_think=_can_think(rail, body.model),
            request_id=identity.request_id,
            owner=identity.owner,
        )
        if wanted.dry_run:
            return await answer_dry_run(rail, request, [wanted])
        hides_thinking = body.thinking is not None and body.thinking.display == "omitted"
        events = rail.service.generate(wanted)
        if body.stream:
            return await open_stream(rail, request, events, MessageEvents(hides_thinking=hides_thinking))
        answer = MessageAnswer(body.model, hides_thinking=hides_thinking)
        for event in await collect(rail, request, events):
            answer.take(event)
        return json_response(answer.body())

    @post("/v1/messages/count_tokens", opt=CONVERSATION, status_code=200)
    async def count_tokens(request: AnyRequest) -> Response[bytes]:
        body = decode_count(decode_json(await read_body(request)))
        think = thinking_of(body, _can_think(rail, body.model))
        conversation, tools = conversation_of(body)
        rendered = await while_connected(request, rail.service.render(conversation, tools, think=think))
        return json_response({"input_tokens": rendered.num_tokens})

    return ProtocolRoutes(handlers=[messages, count_tokens], errors=[SURFACE])


def _can_think(rail: Rail, model: str) -> bool:
    return "thinking" in rail.service.resolve_model(model).capabilities
