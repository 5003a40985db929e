"""Bodies to requests: pure translation, every refusal with the field's name."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec

from jackfield.errors import RequestError, Unsupported
from jackfield.server import convert, require_model
from jackfield.service.requests import (
    Constraint,
    GenerationRequest,
    Image,
    Message,
    Sampling,
    ThinkLevel,
    ToolCall,
    ToolDefinition,
)
from jackfield_protocols.ollama.bodies import (
    ChatBody,
    ChatMessage,
    CommonFields,
    GenerateBody,
    Options,
    ShowBody,
)

__all__ = [
    "chat_request",
    "decode_chat",
    "decode_generate",
    "decode_show",
    "generate_request",
    "with_model",
]

log = logging.getLogger("jackfield.protocols.ollama")
PROTOCOL = "ollama"
THINK_LEVELS: dict[str, ThinkLevel] = {"low": "low", "medium": "medium", "high": "high", "max": "high"}
COPIED_OPTIONS = (
    "temperature", "top_p", "min_p", "typical_p", "repeat_last_n", "presence_penalty", "frequency_penalty",
    "mirostat", "mirostat_tau", "mirostat_eta",
)  # fmt: skip
SILENT_OPTIONS = frozenset(
    {
        "num_keep", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "tfs_z", "penalize_newline",
        "numa", "low_vram", "f16_kv", "vocab_only", "use_mlock", "logits_all", "embedding_only",
    }
)  # fmt: skip
"""Options clients send by habit that set how a server runs, which here is the operator's business."""


# ---- decoding, in the contract's order of checks -------------------------------------------------


def with_model(body: object) -> object:
    """Return the body with an older client's ``name`` as its ``model``."""
    if not isinstance(body, dict):
        return body
    fields = cast("dict[str, Any]", body)
    return fields if fields.get("model") else {**fields, "model": fields.get("name")}


def decode_generate(body: object) -> GenerateBody:
    """Check a decoded body of ``/api/generate``. Raises ``RequestError``."""
    return convert(require_model(body), GenerateBody)


def decode_show(body: object) -> ShowBody:
    """Check a body that names a model as ``model`` or ``name``. Raises ``RequestError``."""
    return convert(require_model(with_model(body)), ShowBody)


def decode_chat(body: object) -> ChatBody:
    """Check a decoded body of a chat: model, then messages, then everything else. Raises ``RequestError``."""
    fields = require_model(body)
    if not isinstance(fields.get("messages"), list):
        raise RequestError("messages is required", param="messages")
    return convert(fields, ChatBody)


# ---- generate ------------------------------------------------------------------------------------


def generate_request(body: GenerateBody, *, request_id: str, owner: str) -> GenerationRequest:
    """Translate ``/api/generate``: one user turn through the template, or the raw prompt.

    A ``context`` is an earlier answer's: the turn goes on after it, and ``system`` was said before it.
    It never reuses a session's prefix, as the contract promises.

    Raises:
        RequestError: A field's value cannot be used; ``param`` names it.
    """
    _check_generate(body)
    images = [_image(f"images[{index}]", text) for index, text in enumerate(body.images or ())]
    prompt = body.prompt or ""
    plain = bool(body.raw or body.suffix)
    messages = [Message("system", body.system)] if body.system else []
    messages.append(Message("user", prompt, images=images))
    return GenerationRequest(
        id=request_id,
        protocol=PROTOCOL,
        model=body.model,
        messages=None if plain else messages,
        prompt=prompt if plain else None,
        suffix=body.suffix or None,
        earlier_tokens=body.context or [],
        sampling=_sampling(body),
        constraint=_constraint(body.format),
        think=_think(body.think),
        reset_session=True,
        cache_salt=owner,
        truncate=body.truncate is True,
        dry_run=bool(body.dry_run),
        return_tokens=not body.raw,
        priority_key=owner,
    )


def _check_generate(body: GenerateBody) -> None:
    if body.raw and (body.system or body.template or body.context):
        raise RequestError("raw mode does not support template, system, or context", param="raw")
    if body.template:
        raise Unsupported(
            "a template in a request is not accepted; the model's own is used", param="template"
        )
    if body.suffix and body.context:
        raise RequestError("context is what a conversation goes on after; it has no suffix", param="context")


# ---- chat ----------------------------------------------------------------------------------------


def chat_request(body: ChatBody, *, request_id: str, owner: str) -> GenerationRequest:
    """Translate a chat.

    Raises:
        RequestError: A field's value cannot be used; ``param`` names it.
    """
    return GenerationRequest(
        id=request_id,
        protocol=PROTOCOL,
        model=body.model,
        messages=[_message(f"messages[{index}]", message) for index, message in enumerate(body.messages)],
        sampling=_sampling(body),
        tools=[_tool(f"tools[{index}]", tool) for index, tool in enumerate(body.tools or ())],
        constraint=_constraint(body.format),
        think=_think(body.think),
        cache_salt=owner,
        truncate=body.truncate is True,
        dry_run=bool(body.dry_run),
        priority_key=owner,
    )


def _message(place: str, message: ChatMessage) -> Message:
    images = [_image(f"{place}.images[{index}]", text) for index, text in enumerate(message.images or ())]
    calls = [_tool_call(f"{place}.tool_calls[{i}]", call) for i, call in enumerate(message.tool_calls or ())]
    return Message(
        role=message.role.lower(),
        content=message.content or "",
        thinking=message.thinking,
        tool_calls=calls,
        tool_call_id=message.tool_call_id,
        name=message.tool_name,
        images=images,
    )


def _tool_call(place: str, call: dict[str, Any]) -> ToolCall:
    function = _object_in(call, "function", place)
    name, arguments = function.get("name"), function.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict | str):
        raise RequestError(f"{place}.function needs a name and an arguments object", param=place)
    return ToolCall(name, cast("dict[str, Any] | str", arguments), str(call.get("id") or ""))


def _tool(place: str, tool: dict[str, Any]) -> ToolDefinition:
    function = _object_in(tool, "function", place)
    known = {key: function[key] for key in ("name", "description", "parameters") if function.get(key)}
    try:
        return msgspec.convert(known, ToolDefinition)
    except msgspec.ValidationError as error:
        raise RequestError(f"{place}.function: {error}", param=place) from error


def _object_in(holder: dict[str, Any], key: str, place: str) -> dict[str, Any]:
    value = holder.get(key)
    if not isinstance(value, dict):
        raise RequestError(f"{place}.{key} must be an object", param=place)
    return cast("dict[str, Any]", value)


# ---- fields both share ---------------------------------------------------------------------------


def _image(place: str, text: str) -> Image:
    """Decode base64, with or without a data-URL prefix."""
    payload = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return Image(base64.b64decode("".join(payload.split()), validate=True))
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"{place} is not valid base64", param=place) from error


def _constraint(wanted: str | dict[str, Any] | None) -> Constraint | None:
    if not wanted:
        return None
    if isinstance(wanted, dict):
        return Constraint(kind="schema", value=wanted, name="format", lenient=True)
    if wanted != "json":
        raise RequestError(f"format is {wanted!r}, expected 'json' or a JSON schema", param="format")
    return Constraint(kind="json")


def _think(think: bool | str | None) -> bool | Literal["low", "medium", "high"] | None:
    if think is None or isinstance(think, bool):
        return think
    if think not in THINK_LEVELS:
        raise RequestError(
            f"think is {think!r}, expected true, false, {', '.join(map(repr, THINK_LEVELS))}", param="think"
        )
    return THINK_LEVELS[think]


def _sampling(body: CommonFields) -> Sampling:
    given = body.options or {}
    _log_unknown(given)
    options = convert({key: _whole(value) for key, value in given.items() if value is not None}, Options)
    fields: dict[str, Any] = {
        name: getattr(options, name) for name in COPIED_OPTIONS if getattr(options, name) is not None
    }
    if options.repeat_penalty:
        fields["repeat_penalty"] = options.repeat_penalty
    if options.top_k is not None:
        fields["top_k"] = max(0, options.top_k)
    if options.seed is not None and options.seed >= 0:
        fields["seed"] = options.seed
    return Sampling(
        max_tokens=_max_tokens(options.num_predict),
        stop=_stops(options.stop),
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        **fields,
    )


def _whole(value: Any) -> Any:
    """Return ``50.0`` as ``50``: Ollama reads every number as a float first, and clients rely on it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _max_tokens(num_predict: int | None) -> int | None:
    """Absent is the contract's default, negative is what the context leaves."""
    if num_predict is None:
        return Sampling().max_tokens
    if num_predict == 0:
        raise RequestError(
            "num_predict is 0, expected at least 1 or -1 for no limit", param="options.num_predict"
        )
    return None if num_predict < 0 else num_predict


def _stops(stop: str | Sequence[str] | None) -> list[str]:
    return [stop] if isinstance(stop, str) else [text for text in stop or () if text]


def _log_unknown(options: dict[str, Any]) -> None:
    unknown = sorted(set(options) - set(Options.__struct_fields__) - SILENT_OPTIONS)
    if unknown:
        log.warning("ignored unknown options %s", ", ".join(map(repr, unknown)))
