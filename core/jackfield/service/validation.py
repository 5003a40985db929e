"""What a request may say, before anything is spent on it."""

from __future__ import annotations

import math
import re

from jackfield.errors import RequestError, TooLarge
from jackfield.service.requests import ALLOWED_TEMPLATE_ARGUMENTS, GenerationRequest, Sampling

__all__ = ["check_request", "check_tokens"]

MAX_MESSAGES = 4096
MAX_TOOLS = 128
MAX_STOPS = 16
MAX_STOP_BYTES = 1024
MAX_CHOICES = 8
MAX_BIASES = 1024
MAX_TOP_LOGPROBS = 20
SEED_BITS = 64
ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")

RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 1e30),
    "top_k": (0, 2**31 - 1),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
    "repeat_penalty": (1e-6, 1e6),
    "repeat_last_n": (-1, 2**31 - 1),
    "presence_penalty": (-1e6, 1e6),
    "frequency_penalty": (-1e6, 1e6),
    "mirostat": (0, 2),
    "mirostat_tau": (0.0, 1e6),
    "mirostat_eta": (0.0, 1e6),
    "xtc_probability": (0.0, 1.0),
    "xtc_threshold": (0.0, 1.0),
    "dry_multiplier": (0.0, 1e6),
    "dry_base": (0.0, 1e6),
    "dry_allowed_length": (0, 2**31 - 1),
    "dry_penalty_last_n": (-1, 2**31 - 1),
    "min_tokens": (0, 2**63 - 1),
    "seed": (-(2**63), 2**SEED_BITS - 1),
    "top_logprobs": (0, MAX_TOP_LOGPROBS),
    "max_tokens": (0, 2**63 - 1),
}


def check_request(request: GenerationRequest, vocab_size: int) -> None:
    """Refuse what no model could do, naming the field.

    Raises:
        RequestError: A value is out of its range, or the prompt is given twice or not at all.
        TooLarge: A list is longer than its limit.
    """
    if not ID_PATTERN.fullmatch(request.id):
        raise RequestError(f"request id is {request.id!r}, expected 1 to 64 of A-Z a-z 0-9 . _ -", param="id")
    _check_prompt(request)
    _check_counts(request)
    _check_template_arguments(request)
    _check_sampling(request.sampling, vocab_size)
    _check_combinations(request)
    if request.prompt_tokens is not None:
        check_tokens(request.prompt_tokens, vocab_size, "prompt")
    check_tokens(request.earlier_tokens, vocab_size, "context")


def check_tokens(tokens: list[int], vocab_size: int, param: str) -> None:
    """Refuse ids outside the vocabulary. Raises ``RequestError`` naming the first."""
    for index, token in enumerate(tokens):
        if not 0 <= token < vocab_size:
            raise RequestError(
                f"{param}[{index}] is token {token!r}, expected 0 to {vocab_size - 1}", param=param
            )


def _check_prompt(request: GenerationRequest) -> None:
    given = [name for name in ("messages", "prompt", "prompt_tokens") if getattr(request, name) is not None]
    if len(given) != 1:
        listing = " and ".join(given) or "none of them"
        raise RequestError(f"give one of messages, prompt and prompt_tokens; got {listing}", param="messages")
    if request.suffix is not None and request.prompt is None:
        raise RequestError("suffix needs a prompt in text form to go before it", param="suffix")
    if request.continue_final_message and not _ends_with_answer(request):
        raise RequestError(
            "continue_final_message needs an assistant message at the end to go on with",
            param="continue_final_message",
        )


def _ends_with_answer(request: GenerationRequest) -> bool:
    messages = request.messages or []
    return bool(messages) and messages[-1].role == "assistant"


def _check_counts(request: GenerationRequest) -> None:
    _check_length("messages", len(request.messages or ()), MAX_MESSAGES)
    _check_length("tools", len(request.tools), MAX_TOOLS)
    _check_length("stop", len(request.sampling.stop), MAX_STOPS)
    _check_length("logit_bias", len(request.sampling.logit_bias), MAX_BIASES)
    if not 1 <= request.num_choices <= MAX_CHOICES:
        raise RequestError(f"n is {request.num_choices!r}, expected 1 to {MAX_CHOICES}", param="n")
    if request.thinking_budget is not None and request.thinking_budget < 0:
        raise RequestError(
            f"thinking_budget is {request.thinking_budget!r}, expected 0 or more", param="thinking_budget"
        )


def _check_template_arguments(request: GenerationRequest) -> None:
    for name in request.template_arguments:
        if name not in ALLOWED_TEMPLATE_ARGUMENTS:
            allowed = ", ".join(sorted(ALLOWED_TEMPLATE_ARGUMENTS))
            raise RequestError(
                f"template argument {name!r} is not allowed, expected one of {allowed}",
                param="chat_template_kwargs",
            )


def _check_length(param: str, length: int, most: int) -> None:
    if length > most:
        raise TooLarge(f"{param} has {length} entries, at most {most} are allowed", param=param)


def _check_sampling(sampling: Sampling, vocab_size: int) -> None:
    for name, (least, most) in RANGES.items():
        _check_range(name, getattr(sampling, name), least, most)
    for stop in sampling.stop:
        _check_stop(stop)
    check_tokens(list(sampling.logit_bias), vocab_size, "logit_bias")
    for token, bias in sampling.logit_bias.items():
        _check_range(f"logit_bias[{token}]", bias, -1e6, 1e6)


def _check_range(name: str, value: float | None, least: float, most: float) -> None:
    if value is None:
        return
    if not math.isfinite(value) or not least <= value <= most:
        param = name.partition("[")[0]
        raise RequestError(f"{name} is {value!r}, expected {least:g} to {most:g}", param=param)


def _check_stop(stop: str) -> None:
    size = len(stop.encode("utf-8", "replace"))
    if not 1 <= size <= MAX_STOP_BYTES:
        raise RequestError(f"a stop string has {size} bytes, expected 1 to {MAX_STOP_BYTES}", param="stop")


def _check_combinations(request: GenerationRequest) -> None:
    _check_tool_choice(request)


def _check_tool_choice(request: GenerationRequest) -> None:
    choice = request.tool_choice
    if choice.mode == "required" and not request.tools:
        raise RequestError("tool_choice requires a call, but there are no tools", param="tool_choice")
    if choice.name is not None and choice.name not in (tool.name for tool in request.tools):
        raise RequestError(
            f"tool_choice names {choice.name!r}, which is not among tools", param="tool_choice"
        )
