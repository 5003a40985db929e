"""The routes of the llama-server protocol that other protocols lack."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post

from jackfield.server import (
    CONVERSATION,
    ProtocolRoutes,
    Rail,
    answer_dry_run,
    collect,
    convert,
    decode_json,
    json_response,
    open_stream,
    read_body,
    while_connected,
)
from jackfield.service.requests import GenerationRequest
from jackfield_protocols.llamacpp.bodies import (
    CompletionBody,
    DetokenizeBody,
    InfillBody,
    RerankBody,
    TemplateBody,
    TokenizeBody,
)
from jackfield_protocols.llamacpp.describe import props_body, slots_body
from jackfield_protocols.llamacpp.errors import SURFACE
from jackfield_protocols.llamacpp.frames import CompletionAnswer, CompletionFrames
from jackfield_protocols.llamacpp.requests import completion_request, infill_request, messages_from
from jackfield_protocols.llamacpp.rerank import rerank_body

__all__ = ["mount"]

AnyRequest = Request[Any, Any, Any]
RERANK_PATHS = ["/v1/rerank", "/v1/reranking", "/rerank", "/reranking"]


def mount(rail: Rail) -> ProtocolRoutes:
    """Return the routes."""
    handlers = [*_generating(rail), *_text_tools(rail), *_describing(rail)]
    return ProtocolRoutes(handlers=handlers, errors=[SURFACE])


def _generating(rail: Rail) -> list[Any]:
    @post(["/completion", "/completions"], opt=CONVERSATION, status_code=200)
    async def completion(request: AnyRequest) -> Response[Any]:
        body = convert(decode_json(await read_body(request)), CompletionBody)
        tokens = await _prompt_tokens(rail, request, body)
        identity = rail.identity(request)
        wanted = completion_request(
            body, tokens, _hosted(rail), request_id=identity.request_id, owner=identity.owner
        )
        return await _answer(rail, request, wanted, is_stream=bool(body.stream))

    @post("/infill", opt=CONVERSATION, status_code=200)
    async def infill(request: AnyRequest) -> Response[Any]:
        body = convert(decode_json(await read_body(request)), InfillBody)
        identity = rail.identity(request)
        wanted = infill_request(body, _hosted(rail), request_id=identity.request_id, owner=identity.owner)
        return await _answer(rail, request, wanted, is_stream=bool(body.stream))

    @post(RERANK_PATHS, opt=CONVERSATION, status_code=200)
    async def rerank(request: AnyRequest) -> Response[bytes]:
        body = convert(decode_json(await read_body(request)), RerankBody)
        work = rerank_body(rail.service, body, _hosted(rail))
        return json_response(await while_connected(request, work))

    return [completion, infill, rerank]


def _text_tools(rail: Rail) -> list[Any]:
    @post("/tokenize", opt=CONVERSATION, status_code=200)
    async def tokenize(request: AnyRequest) -> Response[bytes]:
        body = convert(decode_json(await read_body(request)), TokenizeBody)
        work = rail.service.tokenize(
            body.content, add_special=body.add_special, parse_special=body.parse_special
        )
        found = await while_connected(request, work)
        if not body.with_pieces:
            return json_response({"tokens": found.tokens})
        pairs = zip(found.tokens, found.pieces, strict=True)
        return json_response({"tokens": [{"id": token, "piece": _piece(piece)} for token, piece in pairs]})

    @post("/detokenize", opt=CONVERSATION, status_code=200)
    async def detokenize(request: AnyRequest) -> Response[bytes]:
        body = convert(decode_json(await read_body(request)), DetokenizeBody)
        text = await while_connected(request, rail.service.detokenize(body.tokens))
        return json_response({"content": text})

    @post("/apply-template", opt=CONVERSATION, status_code=200)
    async def apply_template(request: AnyRequest) -> Response[bytes]:
        body = convert(decode_json(await read_body(request)), TemplateBody)
        tools = [tool.function for tool in body.tools]
        work = rail.service.render(messages_from(body.messages), tools, think=body.think)
        rendered = await while_connected(request, work)
        return json_response({"prompt": rendered.text, "num_tokens": rendered.num_tokens})

    return [tokenize, detokenize, apply_template]


def _describing(rail: Rail) -> list[Any]:
    @get("/props")
    async def props() -> Response[bytes]:
        return json_response(props_body(rail.service.resolve_model(_hosted(rail))))

    @get("/slots")
    async def slots() -> Response[bytes]:
        model = rail.service.resolve_model(_hosted(rail))
        return json_response(slots_body(model, rail.service.status()))

    return [props, slots]


async def _answer(
    rail: Rail, request: AnyRequest, wanted: GenerationRequest, *, is_stream: bool
) -> Response[Any]:
    if wanted.dry_run:
        return await answer_dry_run(rail, request, [wanted])
    events = rail.service.generate(wanted)
    if is_stream:
        return await open_stream(rail, request, events, CompletionFrames(wanted))
    answer = CompletionAnswer(wanted)
    for event in await collect(rail, request, events):
        answer.take(event)
    return json_response(answer.body())


async def _prompt_tokens(rail: Rail, request: AnyRequest, body: CompletionBody) -> list[int] | None:
    """Return the tokens of a prompt that has token ids in it; its texts are read as text is elsewhere."""
    if isinstance(body.prompt, str):
        return None
    tokens: list[int] = []
    for index, part in enumerate(body.prompt):
        if isinstance(part, int):
            tokens.append(part)
            continue
        work = rail.service.tokenize(part, add_special=index == 0, parse_special=True)
        tokens += (await while_connected(request, work)).tokens
    return tokens


def _hosted(rail: Rail) -> str:
    """Return the model's name: these clients name none."""
    model = rail.service.status().model
    return model.file if model else "-"


def _piece(piece: bytes) -> str | list[int]:
    """Return a token's text, or its bytes when they are no text alone."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return list(piece)
