"""Bodies to requests: pure translation, every refusal with the field's name."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from jackfield.errors import RequestError
from jackfield.server import convert
from jackfield.service.requests import Constraint, GenerationRequest, Message, Sampling, ToolCall
from jackfield_protocols.llamacpp.bodies import CompletionBody, InfillBody, SamplingFields

__all__ = ["completion_request", "infill_request", "messages_from"]

PROTOCOL = "llamacpp"
COPIED_FIELDS = (
    "temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "presence_penalty",
    "frequency_penalty", "mirostat", "mirostat_tau", "mirostat_eta", "xtc_probability", "xtc_threshold",
    "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers",
    "ignore_eos",
)  # fmt: skip
MAX_BIASES = 1024


def completion_request(
    body: CompletionBody, tokens: list[int] | None, model: str, *, request_id: str, owner: str
) -> GenerationRequest:
    """Translate ``/completion``.

    Args:
        tokens: The prompt where it is not one text; a mixed one has been tokenised piece by piece.
        owner: Who asks: salts the prefix cache and shares the queue fairly.

    Raises:
        RequestError: A field's value cannot be used; ``param`` names it.
    """
    request = _request(body, model, request_id=request_id, owner=owner)
    if tokens is not None:
        return msgspec.structs.replace(request, prompt_tokens=tokens)
    return msgspec.structs.replace(request, prompt=cast("str", body.prompt))


def infill_request(body: InfillBody, model: str, *, request_id: str, owner: str) -> GenerationRequest:
    """Translate ``/infill``: other files first, then what is before the cursor; the rest is the suffix."""
    parts = [_extra(f"input_extra[{index}]", extra) for index, extra in enumerate(body.input_extra)]
    before = "".join([*parts, body.input_prefix, body.prompt])
    request = _request(body, model, request_id=request_id, owner=owner)
    return msgspec.structs.replace(request, prompt=before, suffix=body.input_suffix)


def _request(body: SamplingFields, model: str, *, request_id: str, owner: str) -> GenerationRequest:
    return GenerationRequest(
        id=request_id,
        protocol=PROTOCOL,
        model=model,
        sampling=_sampling(body),
        constraint=_constraint(body),
        reset_session=body.cache_prompt is False,
        cache_salt=owner,
        dry_run=bool(body.dry_run),
        return_tokens=bool(body.return_tokens),
        priority_key=owner,
    )


def _extra(place: str, extra: dict[str, Any]) -> str:
    name, text = extra.get("filename", ""), extra.get("text")
    if not isinstance(text, str) or not isinstance(name, str):
        raise RequestError(f"{place} needs a text, and a filename if any must be a string", param=place)
    return f"{name}\n{text}\n" if name else f"{text}\n"


def _constraint(body: SamplingFields) -> Constraint | None:
    if body.grammar:
        return Constraint(kind="gbnf", value=body.grammar)
    return Constraint(kind="schema", value=body.json_schema) if body.json_schema else None


def _sampling(body: SamplingFields) -> Sampling:
    given: dict[str, Any] = {
        name: getattr(body, name) for name in COPIED_FIELDS if getattr(body, name) is not None
    }
    if body.top_k is not None:
        given["top_k"] = max(0, body.top_k)
    if body.seed is not None and body.seed >= 0 and body.seed != 2**32 - 1:  # 2**32 - 1 is "any"
        given["seed"] = body.seed
    asked = body.n_predict
    return Sampling(
        max_tokens=None if asked is None or asked < 0 else asked,
        stop=[body.stop] if isinstance(body.stop, str) else [text for text in body.stop or () if text],
        top_logprobs=body.n_probs or None,
        logit_bias=_logit_bias(body.logit_bias),
        **given,
    )


def _logit_bias(given: Any) -> dict[int, float]:
    """Read pairs or an object of token ids; ``false`` for a bias means never."""
    if not given:
        return {}
    pairs: Any = list(cast("dict[str, Any]", given).items()) if isinstance(given, dict) else given
    try:
        biases = convert(pairs, list[tuple[int | str, float | bool]])
        read = {int(token): -1e6 if bias is False else float(bias) for token, bias in biases[:MAX_BIASES]}
    except ValueError as error:
        raise RequestError("logit_bias needs token ids, not texts", param="logit_bias") from error
    if len(biases) > MAX_BIASES:
        raise RequestError(f"logit_bias has more than {MAX_BIASES} entries", param="logit_bias")
    return read


# ---- conversations, for the template -------------------------------------------------------------


def messages_from(given: list[dict[str, Any]]) -> list[Message]:
    """Translate messages as OpenAI clients write them. Raises ``RequestError``."""
    return [_message(f"messages[{index}]", message) for index, message in enumerate(given)]


def _message(place: str, message: dict[str, Any]) -> Message:
    role: Any = message.get("role")
    calls: Any = message.get("tool_calls") or []
    if not isinstance(role, str) or not isinstance(calls, list):
        raise RequestError(f"{place} needs a role, and tool_calls if any must be a list", param=place)
    return Message(
        role,
        _text(place, message.get("content")),
        thinking=_string_or_none(message.get("reasoning_content")),
        tool_calls=[_call(place, call) for call in cast("list[object]", calls)],
        tool_call_id=_string_or_none(message.get("tool_call_id")),
        name=_string_or_none(message.get("name")),
    )


def _text(place: str, content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = cast("list[object]", content) if isinstance(content, list) else []
    texts: list[Any] = [
        cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else None for part in parts
    ]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise RequestError(f"{place}.content must be text or parts of text", param=f"{place}.content")
    return "\n".join(texts)


def _call(place: str, call: Any) -> ToolCall:
    fields = cast("dict[str, Any]", call) if isinstance(call, dict) else {}
    function = fields.get("function", fields)
    try:
        return msgspec.convert(function, ToolCall)
    except msgspec.ValidationError as error:
        raise RequestError(f"{place}.tool_calls: {error}", param=f"{place}.tool_calls") from error


def _string_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
