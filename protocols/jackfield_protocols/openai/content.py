"""What messages hold, alike in every endpoint: text, parts, images, the arguments of calls."""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

import msgspec

from jackfield.errors import RequestError, Unsupported
from jackfield.service.requests import Image

__all__ = ["content_of", "object_or_text"]


def content_of(content: str | list[dict[str, Any]] | None, place: str) -> tuple[str, list[Image]]:
    """Return the text, one line a part, and the images of a message's content.

    Raises:
        RequestError: A part has a wrong form; ``param`` names it. ``Unsupported`` for a kind we cannot read.
    """
    if content is None or isinstance(content, str):
        return content or "", []
    texts: list[str] = []
    images: list[Image] = []
    for index, part in enumerate(content):
        where = f"{place}.content[{index}]"
        kind = part.get("type")
        if kind in ("text", "input_text", "output_text", "refusal"):
            texts.append(_text_of(part, where))
        elif kind in ("image_url", "input_image"):
            images.append(_image(part, where))
        else:
            raise Unsupported(f"{where} has type {kind!r}, expected text or image_url", param=where)
    return "\n".join(texts), images


def _text_of(part: dict[str, Any], where: str) -> str:
    text = part.get("text", part.get("refusal"))
    if not isinstance(text, str):
        raise RequestError(f"{where}.text must be a string", param=where)
    return text


def _image(part: dict[str, Any], where: str) -> Image:
    """Take ``data:`` URLs only: to fetch one for a client would be to reach into the server's network."""
    holder = part.get("image_url")
    url = cast("dict[str, Any]", holder).get("url") if isinstance(holder, dict) else holder
    if not isinstance(url, str) or not url.startswith("data:image/") or ";base64," not in url:
        raise RequestError(f"{where}.image_url must be a data:image/…;base64 URL", param=where)
    try:
        return Image(base64.b64decode(url.partition(";base64,")[2], validate=True))
    except binascii.Error as error:
        raise RequestError(f"{where}.image_url is not valid base64", param=where) from error


def object_or_text(text: str) -> Any:
    """Return the JSON object a text spells; the text itself when it spells none."""
    try:
        value: Any = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return text
    return cast("dict[str, Any]", value) if isinstance(value, dict) else text
