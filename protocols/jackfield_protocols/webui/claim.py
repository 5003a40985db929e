"""Whether a body sent to ``/api/chat`` is the page's or an Ollama client's.

Both have ``messages``, ``think`` and ``tools``. Ollama clients always name a ``model``, which the page never
does; beyond that each side has fields the other never sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

__all__ = ["claims_chat"]

SAMPLING_FIELDS = ("topK", "topP", "minP", "repetitionPenalty", "presencePenalty", "frequencyPenalty")
OUR_FIELDS = frozenset({"sessionId", "newChat", "maxTokens", "backend", *SAMPLING_FIELDS})
OUR_MESSAGE_FIELDS = frozenset({"imagePaths", "audioPaths", "textFilePaths", "isVideo"})
OLLAMA_FIELDS = frozenset(
    {"stream", "options", "format", "keep_alive", "truncate", "shift", "logprobs", "top_logprobs"}
)
OLLAMA_MESSAGE_FIELDS = frozenset({"images", "tool_calls", "tool_name", "tool_call_id", "thinking"})
MINE, NOT_MINE = 2, 0


def claims_chat(body: object, headers: Mapping[str, str]) -> int:
    """Return 2 for the page's bodies and 0 for Ollama's."""
    if not isinstance(body, dict):
        return NOT_MINE
    fields = cast("dict[str, Any]", body)
    is_ours = _has(fields, OUR_FIELDS, OUR_MESSAGE_FIELDS)
    is_ollamas = _has(fields, OLLAMA_FIELDS, OLLAMA_MESSAGE_FIELDS)
    model = fields.get("model")
    if model is None or (isinstance(model, str) and not model.strip()):
        return MINE if is_ours or not is_ollamas else NOT_MINE
    if is_ollamas and headers.get("user-agent", "").startswith("ollama"):
        return NOT_MINE
    return MINE if is_ours else NOT_MINE


def _has(fields: Mapping[str, Any], ours: frozenset[str], in_messages: frozenset[str]) -> bool:
    return not ours.isdisjoint(fields) or any(not in_messages.isdisjoint(turn) for turn in _turns(fields))


def _turns(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = fields.get("messages")
    if not isinstance(messages, list):
        return []
    return [
        cast("dict[str, Any]", turn) for turn in cast("Iterable[object]", messages) if isinstance(turn, dict)
    ]
