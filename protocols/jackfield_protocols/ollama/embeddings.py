"""``/api/embed`` and the older ``/api/embeddings``."""

from __future__ import annotations

import time
from typing import Any

from jackfield.server import convert, require_model
from jackfield.service.contract import Service
from jackfield_protocols.ollama.bodies import EmbedBody, LegacyEmbedBody

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
        "embeddings": [embedding.shortened(wanted.dimensions) for embedding in embeddings],
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
