"""Request bodies as OpenAI clients send them. Unknown fields are ignored, as the API promises."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = ["ChatBody", "ChatMessage", "CompletionBody", "FormFields", "StreamOptions"]

Temperature = Annotated[float, Meta(ge=0, le=100)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-100, le=100)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
TokenLimit = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
Choices = Annotated[int, Meta(ge=1, le=8)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
StopText = Annotated[str, Meta(max_length=1024)]
Stops = str | Annotated[list[StopText], Meta(max_length=16)]


class StreamOptions(msgspec.Struct, frozen=True):
    """``stream_options``: whether a last chunk carries only the usage."""

    include_usage: bool = False


class ChatMessage(msgspec.Struct, frozen=True):
    """One message; ``content`` is text, parts, or absent beside tool calls."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: str | None = None


class SamplingFields(msgspec.Struct, frozen=True, kw_only=True):
    """Sampling fields both endpoints share, extensions of common servers included."""

    temperature: Temperature | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Fraction | None = None
    typical_p: Fraction | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    repeat_last_n: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    seed: Seed | None = None
    stop: Stops | None = None
    logit_bias: (
        Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)] | None
    ) = None
    min_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    ignore_eos: bool | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Annotated[float, Meta(ge=0, le=100)] | None = None
    mirostat_eta: Fraction | None = None
    xtc_probability: Fraction | None = None
    xtc_threshold: Fraction | None = None
    dry_multiplier: Annotated[float, Meta(ge=0, le=100)] | None = None
    dry_base: Annotated[float, Meta(ge=1, le=100)] | None = None
    dry_allowed_length: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    dry_penalty_last_n: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    dry_sequence_breakers: Annotated[list[StopText], Meta(max_length=64)] | None = None


class FormFields(SamplingFields, frozen=True, kw_only=True):
    """With what the answer must look like, in the words of OpenAI, vLLM and llama-server."""

    response_format: Any = None
    structured_outputs: dict[str, Any] | None = None
    guided_json: Any = None
    guided_regex: Any = None
    guided_choice: Any = None
    guided_grammar: Any = None
    json_schema: Any = None
    grammar: Any = None


class ChatBody(FormFields, frozen=True, kw_only=True):
    """``POST /v1/chat/completions``."""

    model: str
    messages: Annotated[list[ChatMessage], Meta(max_length=4096)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    n: Choices | None = 1
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    function_call: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = True
    think: bool | Literal["low", "medium", "high"] | None = None
    reasoning_effort: str | None = None
    thinking_budget: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    reasoning_budget: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool | None = False
    cache_prompt: bool | None = True
    modalities: list[str] | None = None
    audio: Any = None
    dry_run: bool | None = False
    x_jackfield: dict[str, Any] | None = None


class CompletionBody(FormFields, frozen=True, kw_only=True):
    """``POST /v1/completions``: raw text or token ids, no chat template."""

    model: str
    prompt: str | list[Any] = ""
    suffix: str | None = None
    max_tokens: TokenLimit | None = 16
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Choices | None = 1
    best_of: Choices | None = None
    echo: bool | None = False
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    dry_run: bool | None = False
