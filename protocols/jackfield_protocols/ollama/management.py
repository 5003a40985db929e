"""Calls that manage models: the hosted one can be "pulled", nothing else can be changed from here."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from litestar import Request, Response, delete, post
from litestar.handlers import HTTPRouteHandler

from jackfield.errors import Forbidden
from jackfield.server import Rail, decode_json, json_response, read_body, require_model
from jackfield_protocols.ollama.requests import decode_show, with_model

__all__ = ["management_handlers"]

AnyRequest = Request[Any, Any, Any]


def management_handlers(rail: Rail) -> list[HTTPRouteHandler]:
    """Return the handlers of pull, push, create, copy and delete."""

    @post("/api/pull", status_code=200)
    async def pull(request: AnyRequest) -> Response[bytes]:
        decoded = decode_json(await read_body(request))
        wanted = decode_show(decoded)
        rail.service.resolve_model(wanted.model or wanted.name or "")
        success = {"status": "success"}
        if isinstance(decoded, dict) and decoded.get("stream") is False:
            return json_response(success)
        return Response(msgspec.json.encode(success) + b"\n", media_type="application/x-ndjson")

    @post(["/api/push", "/api/create", "/api/copy"], status_code=200)
    async def refuse(request: AnyRequest) -> Response[bytes]:
        _check_and_refuse(decode_json(await read_body(request)))
        return json_response({})

    @delete("/api/delete", status_code=200)
    async def refuse_delete(request: AnyRequest) -> Response[bytes]:
        _check_and_refuse(decode_json(await read_body(request)))
        return json_response({})

    @post("/api/blobs/{digest:str}", status_code=200)
    async def refuse_blob() -> Response[bytes]:
        raise _not_yours()

    return [pull, refuse, refuse_delete, refuse_blob]


def _check_and_refuse(body: object) -> None:
    fields: Any = with_model(body)
    if not isinstance(fields, dict) or "source" not in fields:
        require_model(cast("Any", fields))
    raise _not_yours()


def _not_yours() -> Forbidden:
    return Forbidden("models are the operator's: this server does not create, copy, push or delete any")
