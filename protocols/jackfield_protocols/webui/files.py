"""Uploads: taking a file in, reading a text out of it, and finding it again for a chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.datastructures import UploadFile

from jackfield.errors import RequestError, Unsupported
from jackfield.server import Identity, Rail, json_response
from jackfield.server.uploads import Upload
from jackfield.service.requests import Message
from jackfield_protocols.webui.bodies import ChatMessage, message_from

__all__ = ["read_messages", "take_upload"]

CHUNK_BYTES = 256 * 1024
BYTES_PER_TOKEN = 8


class TextExcerpt(msgspec.Struct, rename="camel"):
    """As much of a text as the model could read, in the reply's own words."""

    text_content: str
    truncated: bool
    truncate_limit: int
    truncate_unit: str
    model_context_limit: int | None = None
    original_token_count: int | None = None
    returned_token_count: int | None = None


async def take_upload(rail: Rail, request: Request[Any, Any, Any]) -> Response[Any]:
    """Store the first file of a multipart body and say what it is."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestError("Expected multipart form data", code="expected_multipart")
    form = await request.form()
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    try:
        if not files:
            raise RequestError("No file uploaded", code="no_file")
        upload = await rail.uploads.save(rail.identity(request).owner, files[0].filename, _chunks(files[0]))
    finally:
        for file in files:
            await file.close()
    return json_response(await _description(rail, upload))


async def read_messages(rail: Rail, messages: list[ChatMessage], identity: Identity) -> list[Message]:
    """Return the turns with the bytes of their images and the text of their files."""
    return [await _read_message(rail, message, identity.owner) for message in messages]


async def _read_message(rail: Rail, message: ChatMessage, owner: str) -> Message:
    images = [rail.uploads.find(handle, owner) for handle in message.image_paths or []]
    texts = [rail.uploads.find(handle, owner) for handle in message.text_file_paths or []]
    audio = [rail.uploads.find(handle, owner) for handle in message.audio_paths or []]
    if audio or message.is_video:
        raise Unsupported("this server does not read audio or video; send text and images")
    excerpts = [await _excerpt(rail, upload) for upload in texts]
    return message_from(
        message,
        images=[await rail.uploads.read(upload) for upload in images],
        texts=[excerpt.text_content for excerpt in excerpts],
    )


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


async def _description(rail: Rail, upload: Upload) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "ok": True,
        "path": upload.handle,
        "mediaType": upload.media_type,
        "fileName": upload.file_name,
    }
    if upload.media_type == "video":
        reply |= {"frames": [], "framePaths": []}
    if upload.media_type == "text":
        reply |= msgspec.to_builtins(await _excerpt(rail, upload))
    return reply


async def _excerpt(rail: Rail, upload: Upload) -> TextExcerpt:
    data = await rail.uploads.read(upload)
    model = rail.service.status().model
    if model is None:
        return _by_characters(
            data.decode("utf-8-sig", errors="replace"), rail.settings.uploads.text_characters
        )
    return await _by_tokens(rail, data, model.context_length)


def _by_characters(text: str, limit: int) -> TextExcerpt:
    return TextExcerpt(text[:limit], len(text) > limit, limit, "characters")


async def _by_tokens(rail: Rail, data: bytes, context_length: int) -> TextExcerpt:
    """Cut at half the context; what cannot fit is cut before it is tokenised, and stays uncounted."""
    limit = context_length // 2
    head = data[: limit * BYTES_PER_TOKEN]
    text = head.decode("utf-8-sig", errors="replace" if len(head) == len(data) else "ignore")
    tokenized = await rail.service.tokenize(text, add_special=False, parse_special=False)
    is_cut = len(head) < len(data) or len(tokenized.tokens) > limit
    if len(tokenized.tokens) > limit:
        text = b"".join(tokenized.pieces[:limit]).decode("utf-8", errors="ignore")
    return TextExcerpt(
        text_content=text,
        truncated=is_cut,
        truncate_limit=limit,
        truncate_unit="tokens",
        model_context_limit=context_length,
        original_token_count=len(tokenized.tokens) if len(head) == len(data) else None,
        returned_token_count=min(len(tokenized.tokens), limit),
    )
