"""The routes of the OpenAI protocol."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from litestar import Request, Response, get, post

from jackfield.errors import Unsupported
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
from jackfield.service.events import Event
from jackfield.service.requests import GenerationRequest
from jackfield.service.status import ModelInfo
from jackfield_protocols.openai.bodies import ChatBody, StreamOptions
from jackfield_protocols.openai.completions import CompletionAnswer, CompletionChunks
from jackfield_protocols.openai.embeddings import embeddings_body
from jackfield_protocols.openai.errors import SURFACE
from jackfield_protocols.openai.frames import ChatAnswer, ChatChunks, fingerprint_of
from jackfield_protocols.openai.functions import FunctionChunks, with_function_calls, with_tools
from jackfield_protocols.openai.requests import (
    chat_request,
    completion_requests,
    decode_chat,
    decode_completion,
)
from jackfield_protocols.openai.response_format import check_output

__all__ = ["mount"]

AnyRequest = Request[Any, Any, Any]


def mount(rail: Rail) -> ProtocolRoutes:
    """Return the routes below ``/v1``."""

    @get("/v1/models")
    async def models() -> Response[bytes]:
        hosted = rail.service.status().model
        return json_response(_model_list([_model(hosted)] if hosted else []))

    @get("/v1/models/{name:path}")
    async def model(request: AnyRequest) -> Response[bytes]:
        name = str(request.path_params["name"]).lstrip("/")
        return json_response(_model(rail.service.resolve_model(name)))

    @post("/v1/chat/completions", opt=CONVERSATION, status_code=200)
    async def chat_completions(request: AnyRequest) -> Response[Any]:
        given = decode_chat(decode_json(await read_body(request)))
        body = with_tools(given)
        identity = rail.identity(request)
        wanted = chat_request(body, request_id=identity.request_id, owner=identity.owner)
        if wanted.dry_run:
            return await answer_dry_run(rail, request, [wanted])
        if body.stream:
            return await _stream_chat(rail, request, given, wanted)
        whole = await _whole_chat(rail, request, wanted)
        return json_response(whole if given.functions is None else with_function_calls(whole))

    @post("/v1/completions", opt=CONVERSATION, status_code=200)
    async def completions(request: AnyRequest) -> Response[Any]:
        body = decode_completion(decode_json(await read_body(request)))
        identity = rail.identity(request)
        wanted = completion_requests(body, request_id=identity.request_id, owner=identity.owner)
        if body.dry_run:
            return await answer_dry_run(rail, request, wanted)
        if body.stream:
            return await _stream_completion(rail, request, wanted, _usage_wanted(body.stream_options))
        collected = await _collect_all(rail, request, wanted)
        model = rail.service.resolve_model(body.model)
        answer = CompletionAnswer(
            model.file,
            num_prompts=len(wanted),
            num_choices=wanted[0].num_choices,
            num_kept=body.n or 1,
            shows_logprobs=body.logprobs is not None,
            fingerprint=fingerprint_of(model),
        )
        for index, events in enumerate(collected):
            for event in events:
                answer.take(index, event)
        return json_response(answer.body())

    @post("/v1/embeddings", opt=CONVERSATION, status_code=200)
    async def embeddings(request: AnyRequest) -> Response[bytes]:
        body = decode_json(await read_body(request))
        return json_response(await while_connected(request, embeddings_body(rail.service, body)))

    handlers = [models, model, chat_completions, completions, embeddings]
    return ProtocolRoutes(handlers=handlers, errors=[SURFACE])


def _usage_wanted(options: StreamOptions | None) -> bool:
    return options is not None and options.include_usage


async def _stream_chat(
    rail: Rail, request: AnyRequest, body: ChatBody, wanted: GenerationRequest
) -> Response[Any]:
    make_chunks = ChatChunks if body.functions is None else FunctionChunks
    chunks = make_chunks(
        body.model,
        num_choices=wanted.num_choices,
        include_usage=_usage_wanted(body.stream_options),
        fingerprint=fingerprint_of(rail.service.resolve_model(body.model)),
    )
    events = rail.service.generate(wanted)
    return await open_stream(rail, request, events, chunks, num_choices=wanted.num_choices)


async def _whole_chat(rail: Rail, request: AnyRequest, wanted: GenerationRequest) -> dict[str, Any]:
    """Answer, and refuse an answer in JSON that was cut short."""
    fingerprint = fingerprint_of(rail.service.resolve_model(wanted.model))
    answer = ChatAnswer(wanted.model, num_choices=wanted.num_choices, fingerprint=fingerprint)
    events = rail.service.generate(wanted)
    for event in await collect(rail, request, events, num_choices=wanted.num_choices):
        answer.take(event)
    for text in answer.texts():
        check_output(wanted.constraint, text)
    return answer.body()


async def _stream_completion(
    rail: Rail, request: AnyRequest, wanted: list[GenerationRequest], include_usage: bool
) -> Response[Any]:
    if len(wanted) > 1:
        raise Unsupported("a stream answers one prompt; send several without stream", param="prompt")
    model = rail.service.resolve_model(wanted[0].model)
    chunks = CompletionChunks(model.file, include_usage=include_usage, fingerprint=fingerprint_of(model))
    events = rail.service.generate(wanted[0])
    return await open_stream(rail, request, events, chunks, num_choices=wanted[0].num_choices)


async def _collect_all(rail: Rail, request: AnyRequest, wanted: list[GenerationRequest]) -> list[list[Event]]:
    """Answer every prompt; they share the batch. The first failure cancels the others."""
    tasks = [
        asyncio.ensure_future(collect(rail, request, rail.service.generate(one), num_choices=one.num_choices))
        for one in wanted
    ]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _model_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a list with what Anthropic's client, which asks at the same path, reads of one page."""
    ids = [model["id"] for model in models]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None, "has_more": False}
    return {"object": "list", "data": models, **ends}


def _model(model: ModelInfo) -> dict[str, Any]:
    """Return a model as OpenAI's client reads it, and as Anthropic's does."""
    created_at = datetime.fromtimestamp(model.modified_unix_s, UTC)
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.modified_unix_s),
        "owned_by": "local",
        "context_length": model.context_length,
        "type": "model",
        "display_name": model.name,
        "created_at": created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
