"""``/v1/rerank``: documents by how near they are to a query, in the shape Jina's and Cohere's clients know."""

from __future__ import annotations

from typing import Any

from jackfield.errors import RequestError
from jackfield.service.contract import Service
from jackfield_protocols.llamacpp.bodies import RerankBody

__all__ = ["rerank_body"]


async def rerank_body(service: Service, body: RerankBody, hosted: str) -> dict[str, Any]:
    """Answer with the documents' places in the request, the nearest first.

    Args:
        hosted: The model to use where the body names none.

    Raises:
        RequestError: A document is no text, or there are none.
    """
    model = service.resolve_model(body.model or hosted)
    texts = [_text(f"documents[{index}]", document) for index, document in enumerate(body.documents)]
    if not texts:
        raise RequestError("documents is empty; give at least one", param="documents")
    found = await service.rank(body.query, texts)
    order = sorted(range(len(texts)), key=lambda index: -found[index].score)
    num_tokens = sum(relevance.num_tokens for relevance in found)
    results: list[dict[str, Any]] = []
    for index in order[: body.top_n]:
        shown = {"document": {"text": texts[index]}} if body.return_documents else {}
        results.append({"index": index, "relevance_score": found[index].score, **shown})
    return {
        "model": model.file,
        "object": "list",
        "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
        "results": results,
    }


def _text(place: str, document: str | dict[str, Any]) -> str:
    text = document if isinstance(document, str) else document.get("text")
    if not isinstance(text, str):
        raise RequestError(f"{place} must be a text, or an object with a text", param=place)
    return text
