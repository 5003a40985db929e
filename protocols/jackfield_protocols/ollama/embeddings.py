"""``/api/embed`` and the older ``/api/embeddings``."""

from __future__ import annotations

import math
import time
from typing import Any

from jackfield.errors import RequestError
from jackfield.server import convert
from jackfield.service.contract import Service
from jackfield_protocols.ollama.bodies import EmbedBody, LegacyEmbedBody
from jackfield_protocols.ollama.requests import require_model

__all__ = ["embed_body", "legacy_embed_body"]


async def embed_body(service: Service, body: object) -> dict[str, Any]:
    """Answer ``/api/embed``: one unit vector an input."""
    wanted = convert(require_model(body), EmbedBody)
    model = service.resolve_model(wanted.model)
    inputs = [wanted.input] if isinstance(wanted.input, str) else wanted.input
    started_ns = time.monotonic_ns()
    embeddings = await service.embed(inputs, truncate=wanted.truncate is not False) if inputs else []
    return {
        "model": model.file,
        "embeddings": [_cut(embedding.values, wanted.dimensions) for embedding in embeddings],
        "total_duration": time.monotonic_ns() - started_ns,
        "load_duration": 0,
        "prompt_eval_count": sum(embedding.num_tokens for embedding in embeddings),
    }


async def legacy_embed_body(service: Service, body: object) -> dict[str, Any]:
    """Answer ``/api/embeddings``: one vector."""
    wanted = convert(require_model(body), LegacyEmbedBody)
    service.resolve_model(wanted.model)
    if not wanted.prompt:
        return {"embedding": []}
    embeddings = await service.embed([wanted.prompt], truncate=True)
    return {"embedding": embeddings[0].values}


def _cut(values: list[float], dimensions: int | None) -> list[float]:
    """Keep the first dimensions and make the vector one of unit length again."""
    if dimensions is None or dimensions == len(values):
        return values
    if dimensions > len(values):
        raise RequestError(
            f"dimensions is {dimensions}, expected at most {len(values)}, the model's width",
            param="dimensions",
        )
    kept = values[:dimensions]
    length = math.sqrt(sum(value * value for value in kept)) or 1.0
    return [value / length for value in kept]
