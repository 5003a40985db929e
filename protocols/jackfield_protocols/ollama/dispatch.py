"""``POST /api/chat`` belongs to two protocols: how a request is known to be an Ollama client's.

Web UI bodies never name a model and spell their own fields in camel case; Ollama's always name one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["claim_chat"]

OLLAMA_KEYS = frozenset(
    {"stream", "options", "format", "keep_alive", "truncate", "shift", "logprobs", "top_logprobs"}
)
OLLAMA_MESSAGE_KEYS = frozenset({"images", "tool_calls", "tool_name", "tool_call_id", "thinking"})
OTHER_KEYS = frozenset(
    {
        "sessionId", "newChat", "maxTokens", "topK", "topP", "minP", "repetitionPenalty", "presencePenalty",
        "frequencyPenalty", "backend",
    }
)  # fmt: skip
"""Keys no Ollama client sends: a body with one of them is meant for the other protocol."""
OTHER_MESSAGE_KEYS = frozenset({"imagePaths", "audioPaths", "textFilePaths", "isVideo"})

SURE = 2
NOT_MINE = 0


def claim_chat(body: object, headers: Mapping[str, str]) -> int:
    """Return how sure it is that an Ollama client sent this body."""
    if not isinstance(body, dict):
        return NOT_MINE
    fields = cast("dict[str, Any]", body)
    has_other = bool(OTHER_KEYS & fields.keys()) or _messages_have(fields, OTHER_MESSAGE_KEYS)
    has_ollama = bool(OLLAMA_KEYS & fields.keys()) or _messages_have(fields, OLLAMA_MESSAGE_KEYS)
    if _names_model(fields):
        from_ollama = headers.get("user-agent", "").startswith("ollama")
        return SURE if not has_other or (has_ollama and from_ollama) else NOT_MINE
    return SURE if has_ollama and not has_other else NOT_MINE


def _names_model(fields: dict[str, Any]) -> bool:
    model = fields.get("model")
    return model is not None and not (isinstance(model, str) and not model.strip())


def _messages_have(fields: dict[str, Any], keys: frozenset[str]) -> bool:
    messages = fields.get("messages")
    return isinstance(messages, list) and any(_has(message, keys) for message in cast("Any", messages))


def _has(message: Any, keys: frozenset[str]) -> bool:
    return isinstance(message, dict) and bool(keys & set(cast("dict[str, Any]", message)))
