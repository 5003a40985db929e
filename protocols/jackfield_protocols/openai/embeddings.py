"""``/v1/embeddings``: one unit vector an input, as numbers or as base64."""

from __future__ import annotations

import base64
import sys
from array import array
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from jackfield.errors import RequestError
from jackfield.server import convert, require_model
from jackfield.service.contract import Service
from jackfield_protocols.openai.tokens import are_tokens

__all__ = ["embeddings_body"]


class EmbeddingsBody(msgspec.Struct, frozen=True):
    """``POST /v1/embeddings``."""

    model: str
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, Meta(ge=1, le=65536)] | None = None


async def embeddings_body(service: Service, body: object) -> dict[str, Any]:
    """Answer ``/v1/embeddings``.

    Raises:
        RequestError: An input has a wrong form, or is longer than the context.
    """
    wanted = convert(require_model(body), EmbeddingsBody)
    model = service.resolve_model(wanted.model)
    embeddings = await service.embed(_inputs(wanted.input), truncate=False)
    num_tokens = sum(embedding.num_tokens for embedding in embeddings)
    as_text = wanted.encoding_format == "base64"
    vectors = [embedding.shortened(wanted.dimensions) for embedding in embeddings]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if as_text else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": model.file,
        "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
    }


def _inputs(given: str | list[Any]) -> list[str] | list[list[int]]:
    """Tell one input from several: a text, token ids, texts, or lists of token ids."""
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(item, str) for item in given):
        return cast("list[str]", given)
    if are_tokens(given):
        return [cast("list[int]", given)]
    if given and all(are_tokens(item) for item in given):
        return cast("list[list[int]]", given)
    raise RequestError("input must be a text, token ids, or a list of either, and not empty", param="input")


def _base64(vector: list[float]) -> str:
    """Return little-endian float32, which is what the official client asks for unless told otherwise."""
    packed = array("f", vector)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode("ascii")
