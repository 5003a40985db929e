"""The routes of the Ollama protocol."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post

from jackfield.errors import Unsupported
from jackfield.server import (
    CONVERSATION,
    ProtocolRoutes,
    Rail,
    SharedRoute,
    answer_dry_run,
    collect,
    decode_json,
    json_response,
    open_stream,
    read_body,
    while_connected,
)
from jackfield.service.requests import GenerationRequest
from jackfield_protocols.ollama.bodies import ChatBody, CommonFields, GenerateBody
from jackfield_protocols.ollama.dispatch import claim_chat
from jackfield_protocols.ollama.embeddings import embed_body, legacy_embed_body
from jackfield_protocols.ollama.errors import SURFACE
from jackfield_protocols.ollama.frames import Answer, Dialect, Lines, chat_dialect, generate_dialect, now
from jackfield_protocols.ollama.management import management_handlers
from jackfield_protocols.ollama.models import ps_body, show_body, tags_body, version_body
from jackfield_protocols.ollama.requests import (
    chat_request,
    decode_chat,
    decode_generate,
    decode_show,
    generate_request,
)

__all__ = ["mount"]

AnyRequest = Request[Any, Any, Any]


def mount(rail: Rail) -> ProtocolRoutes:
    """Return the routes below ``/api`` that Ollama clients use."""

    @get("/api/version")
    async def version() -> Response[bytes]:
        return json_response(version_body())

    @get("/api/tags")
    async def tags() -> Response[bytes]:
        return json_response(tags_body(rail.service.status().model))

    @get("/api/ps")
    async def ps() -> Response[bytes]:
        return json_response(ps_body(rail.service.status().model))

    @post("/api/show", status_code=200)
    async def show(request: AnyRequest) -> Response[bytes]:
        body = decode_show(decode_json(await read_body(request)))
        model = rail.service.resolve_model(body.model or body.name or "")
        return json_response(show_body(model, verbose=bool(body.verbose)))

    @post("/api/generate", opt=CONVERSATION, status_code=200)
    async def generate(request: AnyRequest) -> Response[Any]:
        body = decode_generate(decode_json(await read_body(request)))
        if not body.prompt and not body.images and not body.suffix:
            return _loaded(rail, body, generate_dialect())
        identity = rail.identity(request)
        wanted = generate_request(body, request_id=identity.request_id, owner=identity.owner)
        return await _answer(rail, request, body, wanted, generate_dialect())

    @post("/api/chat/ollama", opt=CONVERSATION, status_code=200)
    async def chat(request: AnyRequest) -> Response[Any]:
        return await _chat(rail, request, await read_body(request), native=False)

    async def shared_chat(request: AnyRequest, raw: bytes) -> Response[Any]:
        return await _chat(rail, request, raw, native=True)

    @post("/api/embed", opt=CONVERSATION, status_code=200)
    async def embed(request: AnyRequest) -> Response[bytes]:
        body = decode_json(await read_body(request))
        return json_response(await while_connected(request, embed_body(rail.service, body)))

    @post("/api/embeddings", opt=CONVERSATION, status_code=200)
    async def embeddings(request: AnyRequest) -> Response[bytes]:
        body = decode_json(await read_body(request))
        return json_response(await while_connected(request, legacy_embed_body(rail.service, body)))

    asking = [version, tags, ps, show]
    answering = [generate, chat, embed, embeddings]
    return ProtocolRoutes(
        handlers=[*asking, *answering, *management_handlers(rail)],
        shared=[SharedRoute(method="POST", path="/api/chat", claim=claim_chat, handler=shared_chat)],
        errors=[SURFACE],
    )


async def _chat(rail: Rail, request: AnyRequest, raw: bytes, *, native: bool) -> Response[Any]:
    body: ChatBody = decode_chat(decode_json(raw))
    dialect = chat_dialect(native=native)
    if not body.messages:
        return _loaded(rail, body, dialect)
    identity = rail.identity(request)
    wanted = chat_request(body, request_id=identity.request_id, owner=identity.owner)
    return await _answer(rail, request, body, wanted, dialect)


async def _answer(
    rail: Rail, request: AnyRequest, body: CommonFields, wanted: GenerationRequest, dialect: Dialect
) -> Response[Any]:
    _refuse_unknown_thinking(rail, wanted)
    if wanted.dry_run:
        return await answer_dry_run(rail, request, [wanted])
    events = rail.service.generate(wanted)
    if body.stream is not False:
        return await open_stream(rail, request, events, Lines(body.model, dialect))
    answer = Answer(body.model, dialect)
    for event in await collect(rail, request, events):
        answer.take(event)
    return json_response(answer.body())


def _refuse_unknown_thinking(rail: Rail, wanted: GenerationRequest) -> None:
    """Ollama refuses ``think`` for a model that cannot, in words its clients know."""
    if wanted.think:
        model = rail.service.resolve_model(wanted.model)
        if "thinking" not in model.capabilities:
            raise Unsupported(f"{model.name!r} does not support thinking", param="think")


def _loaded(rail: Rail, body: GenerateBody | ChatBody, dialect: Dialect) -> Response[bytes]:
    """Answer a request for nothing: clients send it to load or to unload a model. Ours stays loaded."""
    model = rail.service.resolve_model(body.model)
    reason = "unload" if body.keep_alive in (0, "0", "0s", "0m") else "load"
    frame = {
        "model": model.file,
        "created_at": now(),
        **dialect.part("", "", []),
        "done": True,
        "done_reason": reason,
    }
    return json_response(frame)
