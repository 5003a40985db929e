"""Request bodies as Anthropic clients send them. Fields that only steer Anthropic's own service are ignored."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

__all__ = ["Blocks", "CountBody", "InputMessage", "MessagesBody", "OutputConfig", "Thinking", "Tool"]

Blocks = list[dict[str, Any]]
Fraction = Annotated[float, Meta(ge=0, le=1)]
StopText = Annotated[str, Meta(max_length=1024)]


class InputMessage(msgspec.Struct, frozen=True):
    """One turn; content is text or blocks."""

    role: str
    content: str | Blocks


class Tool(msgspec.Struct, frozen=True):
    """A function the client runs. ``type`` is "custom" or absent; others name Anthropic's own tools."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    type: str | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether the model may, must or must not call a tool."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = False


class Thinking(msgspec.Struct, frozen=True):
    """``thinking``: on with a budget, off, or as the model sees fit."""

    type: str
    budget_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    display: str | None = None


class OutputConfig(msgspec.Struct, frozen=True):
    """``output_config``: how hard to think, and the form of the answer."""

    effort: str | None = None
    format: dict[str, Any] | None = None


class CountBody(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /v1/messages/count_tokens``: what a prompt is made of."""

    model: str
    messages: Annotated[list[InputMessage], Meta(max_length=4096)]
    system: str | Blocks | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: dict[str, Any] | None = None
    mcp_servers: list[Any] | None = None
    container: Any = None


class MessagesBody(CountBody, frozen=True, kw_only=True):
    """``POST /v1/messages``."""

    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    stop_sequences: Annotated[list[StopText], Meta(max_length=16)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    stream: bool | None = False
    dry_run: bool | None = False
