"""Request bodies of the Responses API. Unknown fields are ignored, as the API promises."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from jackfield_protocols.openai.bodies import SamplingFields, TokenLimit

__all__ = ["Reasoning", "ResponsesBody", "TextConfig"]

MetadataText = Annotated[str, Meta(max_length=512)]


class Reasoning(msgspec.Struct, frozen=True):
    """``reasoning``: how hard to think, and whether the thought is shown as a summary."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class TextConfig(msgspec.Struct, frozen=True):
    """``text``: the form of the answer."""

    format: dict[str, Any] | None = None


class ResponsesBody(SamplingFields, frozen=True, kw_only=True):
    """``POST /v1/responses``."""

    model: str
    input: str | Annotated[list[dict[str, Any]], Meta(max_length=4096)] = ""
    instructions: str | None = None
    previous_response_id: str | None = None
    stream: bool | None = False
    store: bool | None = True
    max_output_tokens: TokenLimit | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = True
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    thinking_budget: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    truncation: str | None = "disabled"
    include: list[str] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: Annotated[dict[str, MetadataText], Meta(max_length=16)] | None = None
    user: str | None = None
    background: bool | None = False
    conversation: Any = None
    prompt: Any = None
    dry_run: bool | None = False
