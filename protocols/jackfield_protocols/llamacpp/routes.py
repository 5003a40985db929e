"""The routes of the llama-server dialect that other dialects lack."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from msgspec import Meta

from jackfield.errors import JackfieldError
from jackfield.server import (
    CONVERSATION,
    ErrorSurface,
    ProtocolRoutes,
    Rail,
    convert,
    decode_json,
    json_response,
    read_body,
    while_connected,
)
from jackfield.service.requests import Message, ToolDefinition

__all__ = ["mount"]

AnyRequest = Request[Any, Any, Any]
PATHS = ("/tokenize", "/detokenize", "/apply-template", "/props")


class TokenizeBody(msgspec.Struct, frozen=True):
    """``POST /tokenize``."""

    content: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeBody(msgspec.Struct, frozen=True):
    """``POST /detokenize``."""

    tokens: list[Annotated[int, Meta(ge=0)]]


class ToolBody(msgspec.Struct, frozen=True):
    """A tool as OpenAI clients write it."""

    function: ToolDefinition


class TemplateBody(msgspec.Struct, frozen=True):
    """``POST /apply-template``."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=4096)]
    tools: list[ToolBody] = []
    think: bool | None = None


def mount(rail: Rail) -> ProtocolRoutes:
    """Return the routes."""

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
        work = rail.service.render(body.messages, tools, think=body.think)
        rendered = await while_connected(request, work)
        return json_response({"prompt": rendered.text, "num_tokens": rendered.num_tokens})

    @get("/props")
    async def props() -> Response[bytes]:
        model = rail.service.resolve_model(_hosted_name(rail))
        return json_response(
            {
                "default_generation_settings": {"n_ctx": model.context_length},
                "model_alias": model.name,
                "chat_template": model.chat_template,
                "modalities": {
                    "vision": "vision" in model.capabilities,
                    "audio": "audio" in model.capabilities,
                },
            }
        )

    return ProtocolRoutes(
        handlers=[tokenize, detokenize, apply_template, props],
        errors=[ErrorSurface(prefixes=PATHS, body=_error_body)],
    )


def _hosted_name(rail: Rail) -> str:
    model = rail.service.status().model
    return model.file if model else "-"


def _piece(piece: bytes) -> str | list[int]:
    """Return a token's text, or its bytes when they are no text alone."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return list(piece)


def _error_body(error: JackfieldError, status: int) -> dict[str, Any]:
    return {"error": {"code": status, "message": error.message, "type": error.error_code, **error.numbers}}
