"""Request bodies as llama-server's clients send them. Fields that only steer its own engine are ignored."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from jackfield.service.requests import ToolDefinition

__all__ = [
    "CompletionBody",
    "DetokenizeBody",
    "InfillBody",
    "RerankBody",
    "TemplateBody",
    "TokenizeBody",
]

Fraction = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-100, le=100)]
Int31 = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
StopText = Annotated[str, Meta(max_length=1024)]


class SamplingFields(msgspec.Struct, frozen=True, kw_only=True):
    """What both generating endpoints take."""

    n_predict: Int31 | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_k: Int31 | None = None
    top_p: Fraction | None = None
    min_p: Fraction | None = None
    typical_p: Fraction | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    repeat_last_n: Int31 | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Annotated[float, Meta(ge=0, le=100)] | None = None
    mirostat_eta: Fraction | None = None
    xtc_probability: Fraction | None = None
    xtc_threshold: Fraction | None = None
    dry_multiplier: Annotated[float, Meta(ge=0, le=100)] | None = None
    dry_base: Annotated[float, Meta(ge=1, le=100)] | None = None
    dry_allowed_length: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    dry_penalty_last_n: Int31 | None = None
    dry_sequence_breakers: Annotated[list[StopText], Meta(max_length=64)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: Annotated[list[StopText], Meta(max_length=16)] | str | None = None
    ignore_eos: bool | None = None
    logit_bias: Any = None
    n_probs: Annotated[int, Meta(ge=0, le=20)] | None = None
    grammar: str | None = None
    json_schema: dict[str, Any] | None = None
    cache_prompt: bool | None = True
    return_tokens: bool | None = False
    stream: bool | None = False
    dry_run: bool | None = False


class CompletionBody(SamplingFields, frozen=True, kw_only=True):
    """``POST /completion``: a text, token ids, or both mixed."""

    prompt: str | Annotated[list[str | int], Meta(min_length=1)]


class InfillBody(SamplingFields, frozen=True, kw_only=True):
    """``POST /infill``: the code before and after the cursor."""

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: Annotated[list[dict[str, Any]], Meta(max_length=256)] = []
    prompt: str = ""


class TokenizeBody(msgspec.Struct, frozen=True):
    """``POST /tokenize``."""

    content: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeBody(msgspec.Struct, frozen=True):
    """``POST /detokenize``."""

    tokens: list[Annotated[int, Meta(ge=0)]]


class ToolBody(msgspec.Struct, frozen=True):
    """A tool as OpenAI clients write it."""

    function: ToolDefinition


class TemplateBody(msgspec.Struct, frozen=True):
    """``POST /apply-template``."""

    messages: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=4096)]
    tools: list[ToolBody] = []
    think: bool | None = None


class RerankBody(msgspec.Struct, frozen=True):
    """``POST /v1/rerank``: documents are texts, or objects with a ``text``."""

    query: str
    documents: Annotated[list[str | dict[str, Any]], Meta(max_length=2047)]
    model: str | None = None
    top_n: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    return_documents: bool | None = False
