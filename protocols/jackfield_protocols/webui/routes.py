"""The paths of the web UI."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from litestar import Request, Response, delete, get, post

from jackfield.errors import (
    BackendUnavailable,
    JackfieldError,
    NotFound,
    OutOfMemory,
    RequestError,
)
from jackfield.server import (
    CONVERSATION,
    UPLOAD,
    ErrorSurface,
    ProtocolRoutes,
    Rail,
    SharedRoute,
    answer_dry_run,
    convert,
    decode_json,
    json_response,
    open_stream,
    read_body,
    while_connected,
)
from jackfield_protocols.webui.bodies import DEFAULT_SESSION, ChatBody, ChatHead, in_camel_case, request_from
from jackfield_protocols.webui.claim import claims_chat
from jackfield_protocols.webui.files import read_messages, take_upload
from jackfield_protocols.webui.frames import ChatFrames
from jackfield_protocols.webui.models import describe_models, load_model
from jackfield_protocols.webui.page import home, page_for_unknown_path, static_file

__all__ = ["mount"]


def mount(rail: Rail) -> ProtocolRoutes:
    """Return the web UI's routes."""
    return ProtocolRoutes(
        handlers=[*_page_handlers(), *_session_handlers(rail), *_model_handlers(rail), *_chat_handlers(rail)],
        shared=[
            SharedRoute(
                method="POST",
                path="/api/chat",
                claim=claims_chat,
                handler=lambda request, raw: chat(rail, request, raw),
            )
        ],
        errors=[
            ErrorSurface(
                prefixes=("/api/sessions", "/api/models"),
                body=lambda error, _status: {"ok": False, "error": error.message},
                statuses={BackendUnavailable: 500, OutOfMemory: 500},
            ),
            ErrorSurface(prefixes=("/api/chat/webui", "/api/upload", "/api/queue"), body=_plain_error),
        ],
        fallback=page_for_unknown_path,
    )


async def chat(rail: Rail, request: Request[Any, Any, Any], raw: bytes) -> Response[Any]:
    """Answer one turn as a stream. The order of the checks is part of the protocol."""
    decoded = decode_json(raw, rail.settings.bodies)
    if not isinstance(decoded, dict):
        raise RequestError("the body must be a JSON object")
    fields = in_camel_case(cast("dict[str, Any]", decoded))
    head = convert(fields, ChatHead)
    identity = rail.identity(request)
    session_id = _accepted_session(rail, head, identity.owner)
    model = rail.service.status().model
    if model is None:
        raise RequestError("No model loaded", code="no_model")
    if fields.get("messages") is None:
        raise RequestError("messages is required", param="messages")
    body = convert(fields, ChatBody)
    messages = await read_messages(rail, body.messages, identity)
    wanted = request_from(body, messages, model.file, session_id, identity)
    if wanted.dry_run:
        return await answer_dry_run(rail, request, [wanted])
    frames = ChatFrames(session_id or DEFAULT_SESSION)
    return await open_stream(rail, request, rail.service.generate(wanted), frames)


def _accepted_session(rail: Rail, head: ChatHead, owner: str) -> str | None:
    if (head.model or "").strip() or (head.backend or "").strip():
        raise RequestError(
            "a chat uses the loaded model; choose another with POST /api/models/load", code="model_locked"
        )
    if head.session_id is None or head.session_id == DEFAULT_SESSION:
        return None
    if not rail.service.has_session(head.session_id, owner):
        raise NotFound(f"Session {head.session_id[:64]!r} not found or has been disposed", param="sessionId")
    return head.session_id


def _plain_error(error: JackfieldError, _status: int) -> dict[str, Any]:
    return {"error": error.message}


def _page_handlers() -> list[Any]:
    @get("/")
    async def root(request: Request[Any, Any, Any]) -> Response[Any]:
        """Return the page, or a line of text."""
        return home(request)

    @get("/static/{name:str}")
    async def static(request: Request[Any, Any, Any]) -> Response[Any]:
        """Return one of the page's files."""
        return static_file(request, request.path_params["name"])

    return [root, static]


def _session_handlers(rail: Rail) -> list[Any]:
    @post("/api/sessions", status_code=200)
    async def create_session(request: Request[Any, Any, Any]) -> Response[Any]:
        """Begin a conversation."""
        session_id = rail.service.create_session(rail.identity(request).owner)
        created_at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return json_response({"sessionId": session_id, "createdAt": created_at})

    @delete("/api/sessions/{session_id:str}", status_code=200)
    async def delete_session(request: Request[Any, Any, Any]) -> Response[Any]:
        """Forget a conversation."""
        session_id: str = request.path_params["session_id"]
        if session_id == DEFAULT_SESSION:
            raise RequestError("the default session is always there and cannot be deleted")
        owner = rail.identity(request).owner
        if not rail.service.has_session(session_id, owner):
            raise NotFound(f"Session {session_id[:64]!r} not found or has been disposed")
        await while_connected(request, rail.service.delete_session(session_id, owner))
        return json_response({"ok": True, "sessionId": session_id})

    return [create_session, delete_session]


def _model_handlers(rail: Rail) -> list[Any]:
    @get("/api/models")
    async def models() -> Response[Any]:
        """List what can be loaded and what is."""
        return json_response(describe_models(rail))

    @post("/api/models/load", status_code=200)
    async def load(request: Request[Any, Any, Any]) -> Response[Any]:
        """Host another model."""
        body = decode_json(await read_body(request), rail.settings.bodies)
        return json_response(await load_model(rail, request, body))

    return [models, load]


def _chat_handlers(rail: Rail) -> list[Any]:
    @post("/api/chat/webui", opt=CONVERSATION, status_code=200)
    async def chat_alias(request: Request[Any, Any, Any]) -> Response[Any]:
        """Answer a chat whatever fields it has."""
        return await chat(rail, request, await read_body(request))

    @post("/api/upload", opt=UPLOAD, status_code=200)
    async def upload(request: Request[Any, Any, Any]) -> Response[Any]:
        """Take a file in."""
        return await take_upload(rail, request)

    @get("/api/queue/status")
    async def queue_status() -> Response[Any]:
        """Tell how busy the engine is."""
        status = rail.service.status()
        return json_response(
            {
                "busy": status.num_running > 0 or status.state == "loading",
                "pending_requests": status.num_waiting,
                "total_processed": status.num_processed,
            }
        )

    return [chat_alias, upload, queue_status]
