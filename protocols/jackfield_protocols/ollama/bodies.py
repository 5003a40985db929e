"""Request bodies as Ollama clients send them. Unknown fields and options are ignored; options are logged."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

__all__ = ["ChatBody", "ChatMessage", "EmbedBody", "GenerateBody", "LegacyEmbedBody", "Options", "ShowBody"]

Fraction = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-100, le=100)]
StopText = Annotated[str, Meta(max_length=1024)]
Int31 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``options``: sampling and run-time settings."""

    num_predict: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    top_p: Fraction | None = None
    min_p: Fraction | None = None
    typical_p: Fraction | None = None
    repeat_penalty: Annotated[float, Meta(ge=0, le=100)] | None = None
    repeat_last_n: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[StopText], Meta(max_length=16)] | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Annotated[float, Meta(ge=0, le=100)] | None = None
    mirostat_eta: Fraction | None = None
    num_ctx: Int31 | None = None


class ChatMessage(msgspec.Struct, frozen=True):
    """One message; ``images`` are base64 texts."""

    role: str = "user"
    content: str | None = ""
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class CommonFields(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of both generating endpoints."""

    model: str
    stream: bool | None = True
    options: dict[str, Any] | None = None
    format: str | dict[str, Any] | None = None
    keep_alive: str | float | None = None
    think: bool | str | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    truncate: bool | None = None
    dry_run: bool | None = False


class GenerateBody(CommonFields, frozen=True, kw_only=True):
    """``POST /api/generate``."""

    prompt: str | None = ""
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = False
    images: list[str] | None = None


class ChatBody(CommonFields, frozen=True, kw_only=True):
    """``POST /api/chat/ollama`` and, for Ollama clients, ``POST /api/chat``."""

    messages: Annotated[list[ChatMessage], Meta(max_length=4096)]
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None


class ShowBody(msgspec.Struct, frozen=True):
    """``POST /api/show``."""

    model: str | None = None
    name: str | None = None
    verbose: bool | None = False


class EmbedBody(msgspec.Struct, frozen=True):
    """``POST /api/embed``."""

    model: str
    input: str | list[str] = msgspec.field(default_factory=list[str])
    truncate: bool | None = True
    dimensions: Annotated[int, Meta(ge=1, le=65536)] | None = None


class LegacyEmbedBody(msgspec.Struct, frozen=True):
    """``POST /api/embeddings``."""

    model: str
    prompt: str = ""
