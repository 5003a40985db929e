"""Chat bodies as pages send them, and the request they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from jackfield.errors import RequestError
from jackfield.server import Identity
from jackfield.service.requests import (
    GenerationRequest,
    Image,
    Message,
    Sampling,
    ToolCall,
    ToolDefinition,
)

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "DEFAULT_SESSION",
    "ChatBody",
    "ChatHead",
    "ChatMessage",
    "in_camel_case",
    "message_from",
    "request_from",
]

DEFAULT_SESSION = "__default__"
DEFAULT_MAX_TOKENS = 20_000
INT64_MAX = 2**63 - 1

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Penalty = Annotated[float, Meta(ge=-100.0, le=100.0)]
Stop = Annotated[list[Annotated[str, Meta(max_length=1024)]], Meta(max_length=16)]
SNAKE_CASE = {
    "max_tokens": "maxTokens",
    "session_id": "sessionId",
    "new_chat": "newChat",
    "top_k": "topK",
    "top_p": "topP",
    "min_p": "minP",
    "repetition_penalty": "repetitionPenalty",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "dry_run": "dryRun",
}


class ChatHead(msgspec.Struct, rename="camel"):
    """What is checked before the messages are looked at."""

    model: str | None = None
    backend: str | None = None
    session_id: str | None = None


class CalledFunction(msgspec.Struct):
    """A function by name, with its arguments."""

    name: str
    arguments: dict[str, Any] | str = {}


class CallInHistory(msgspec.Struct):
    """A call of an earlier turn: as this protocol's frames have it, or in Ollama's wrapping."""

    function: CalledFunction | None = None
    name: str = ""
    arguments: dict[str, Any] | str = {}
    id: str = ""


class ChatMessage(msgspec.Struct):
    """A turn. Files are named by the handles that ``/api/upload`` returned."""

    role: Annotated[str, Meta(max_length=64)]
    content: str
    image_paths: list[str] | None = msgspec.field(default=None, name="imagePaths")
    audio_paths: list[str] | None = msgspec.field(default=None, name="audioPaths")
    text_file_paths: list[str] | None = msgspec.field(default=None, name="textFilePaths")
    is_video: bool = msgspec.field(default=False, name="isVideo")
    thinking: str | None = None
    tool_calls: list[CallInHistory] | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    name: str | None = None


class FunctionSchema(msgspec.Struct):
    """A function the model may call."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    """A tool in Ollama's and OpenAI's wrapping."""

    function: FunctionSchema
    type: str = "function"


class ChatBody(msgspec.Struct, rename="camel"):
    """The body of a chat, once its head is accepted."""

    messages: Annotated[list[ChatMessage], Meta(max_length=4096)]
    max_tokens: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    new_chat: bool | None = None
    think: bool | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    top_p: Fraction | None = None
    min_p: Fraction | None = None
    repetition_penalty: Annotated[float, Meta(gt=0.0, le=100.0)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Meta(ge=-1, le=INT64_MAX)] | None = None
    stop: Stop | None = None
    dry_run: bool | None = None


def in_camel_case(body: Mapping[str, Any]) -> dict[str, Any]:
    """Spell every field in camel case; where both spellings are given, camel case wins."""
    snake = {SNAKE_CASE[name]: value for name, value in body.items() if name in SNAKE_CASE}
    return {**snake, **{name: value for name, value in body.items() if name not in SNAKE_CASE}}


def request_from(
    body: ChatBody, messages: list[Message], model: str, session_id: str | None, identity: Identity
) -> GenerationRequest:
    """Return the generation a chat body asks for; ``messages`` have their files read already."""
    return GenerationRequest(
        id=identity.request_id,
        protocol="webui",
        model=model,
        messages=messages,
        sampling=_sampling(body),
        tools=[_tool(tool.function) for tool in body.tools or []],
        think=bool(body.think),
        session_id=session_id,
        reset_session=bool(body.new_chat),
        cache_salt=identity.owner,
        dry_run=bool(body.dry_run),
        priority_key=identity.owner,
    )


def message_from(message: ChatMessage, images: Iterable[bytes], texts: Iterable[str]) -> Message:
    """Return a turn with its files in it; a text that the page has pasted already is not repeated."""
    content = message.content
    for text in texts:
        if text not in content:
            content = f"{content}\n\n{text}"
    return Message(
        role=message.role.strip().lower() or "user",
        content=content,
        thinking=message.thinking,
        tool_calls=[_call(call) for call in message.tool_calls or []],
        tool_call_id=message.tool_call_id,
        name=message.tool_name or message.name,
        images=[Image(data) for data in images],
    )


def _sampling(body: ChatBody) -> Sampling:
    max_tokens = DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens
    if max_tokens == 0:
        raise RequestError("field 'maxTokens' is 0; give 1 or more, or -1 for no limit", param="maxTokens")
    given = {
        "temperature": body.temperature,
        "top_k": body.top_k,
        "top_p": body.top_p,
        "min_p": body.min_p,
        "repeat_penalty": body.repetition_penalty,
        "presence_penalty": body.presence_penalty,
        "frequency_penalty": body.frequency_penalty,
        "stop": body.stop,
    }
    base = Sampling(
        max_tokens=None if max_tokens < 0 else max_tokens, seed=None if body.seed == -1 else body.seed
    )
    return msgspec.structs.replace(
        base, **{name: value for name, value in given.items() if value is not None}
    )


def _tool(function: FunctionSchema) -> ToolDefinition:
    return ToolDefinition(function.name, function.description or "", function.parameters or {})


def _call(call: CallInHistory) -> ToolCall:
    called = call.function or CalledFunction(call.name, call.arguments)
    return ToolCall(called.name, called.arguments, call.id)
