"""The routes of the Responses protocol."""

from __future__ import annotations

import secrets
from typing import Any

from litestar import Request, Response, delete, get, post

from jackfield.server import (
    CONVERSATION,
    ErrorSurface,
    ProtocolRoutes,
    Rail,
    answer_dry_run,
    collect,
    decode_json,
    json_response,
    open_stream,
    read_body,
)
from jackfield.service.requests import Message
from jackfield_protocols.openai.errors import error_body
from jackfield_protocols.openai.responses.bodies import ResponsesBody
from jackfield_protocols.openai.responses.draft import ResponseDraft
from jackfield_protocols.openai.responses.frames import ResponseEvents
from jackfield_protocols.openai.responses.items import messages_from
from jackfield_protocols.openai.responses.requests import decode_response, response_request
from jackfield_protocols.openai.responses.store import ResponseStore

__all__ = ["mount"]

AnyRequest = Request[Any, Any, Any]


def mount(rail: Rail) -> ProtocolRoutes:
    """Return the routes below ``/v1/responses``."""
    store = ResponseStore()

    @post("/v1/responses", opt=CONVERSATION, status_code=200)
    async def create(request: AnyRequest) -> Response[Any]:
        body = decode_response(decode_json(await read_body(request)))
        identity = rail.identity(request)
        owner = identity.owner
        conversation = [
            *store.conversation_before(body.previous_response_id, owner),
            *messages_from(body.input, lambda item_id: store.item(item_id, owner)),
        ]
        wanted = response_request(body, conversation, request_id=identity.request_id, owner=owner)
        if wanted.dry_run:
            return await answer_dry_run(rail, request, [wanted])
        draft = ResponseDraft(body)

        def keep() -> None:
            if body.store is not False:
                store.keep(owner, draft.response, _input_items(body), [*conversation, draft.as_message()])

        events = rail.service.generate(wanted)
        if body.stream:
            return await open_stream(rail, request, events, ResponseEvents(draft, keep))
        for event in await collect(rail, request, events):
            for _ in draft.take(event):
                continue
        keep()
        return json_response(draft.response)

    @get("/v1/responses/{response_id:str}")
    async def retrieve(request: AnyRequest) -> Response[bytes]:
        owner = rail.identity(request).owner
        return json_response(store.get(request.path_params["response_id"], owner).response)

    @delete("/v1/responses/{response_id:str}", status_code=200)
    async def forget(request: AnyRequest) -> Response[bytes]:
        response_id: str = request.path_params["response_id"]
        store.delete(response_id, rail.identity(request).owner)
        return json_response({"id": response_id, "object": "response", "deleted": True})

    @get("/v1/responses/{response_id:str}/input_items")
    async def input_items(request: AnyRequest) -> Response[bytes]:
        items = store.get(request.path_params["response_id"], rail.identity(request).owner).items
        ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {}
        return json_response({"object": "list", "data": items, "has_more": False, **ends})

    return ProtocolRoutes(
        handlers=[create, retrieve, forget, input_items],
        errors=[ErrorSurface(prefixes=("/v1/responses",), body=error_body)],
    )


def _input_items(body: ResponsesBody) -> list[dict[str, Any]]:
    """Return the input as items with ids, the latest first, as the API lists them."""
    given: list[dict[str, Any]] = (
        [_message_item(Message("user", body.input))] if isinstance(body.input, str) else body.input
    )
    return [{"id": f"item_{secrets.token_hex(12)}", "type": "message", **item} for item in reversed(given)]


def _message_item(message: Message) -> dict[str, Any]:
    part = {"type": "input_text", "text": message.content}
    return {"type": "message", "role": message.role, "status": "completed", "content": [part]}
