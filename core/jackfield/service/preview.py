"""``dry_run``: what a request would do, found out without doing it."""

from __future__ import annotations

from concurrent.futures import CancelledError

import msgspec

from jackfield.engine.contract import CacheExpectation
from jackfield.errors import Unavailable
from jackfield.service.events import DryRun
from jackfield.service.hosting import HostedModel
from jackfield.service.plan import Plan
from jackfield.service.prompting import offered_tools
from jackfield.service.requests import GenerationRequest

__all__ = ["DEFAULT_SESSION", "preview_of"]

DEFAULT_SESSION = "__default__"
"""The session of requests that name none."""
ENGINE_WAIT_S = 10.0
"""The engine looks between two steps; one that takes longer than this hangs."""


def preview_of(request: GenerationRequest, plan: Plan, model: HostedModel, seed: int) -> DryRun:
    """Return the rendered prompt, the effective parameters and what the cache would give now.

    Args:
        seed: The one the request would be run with, its own or drawn.

    Raises:
        Unavailable: The engine does not answer.
    """
    expected = _expectation(request, plan, model)
    sampling = msgspec.structs.replace(request.sampling, max_tokens=plan.max_tokens, seed=seed)
    return DryRun(
        model=model.info.file,
        prompt=_prompt_text(plan, model),
        prompt_tokens=len(plan.prompt.tokens),
        cached_tokens=expected.num_cached_tokens,
        cache_note=expected.note,
        context_length=model.info.context_length,
        max_tokens=plan.max_tokens,
        think=plan.think,
        thinking_budget=plan.thinking_budget if plan.think else 0,
        num_choices=request.num_choices,
        constraint=request.constraint.kind if request.constraint is not None else None,
        tools=[tool.name for tool in offered_tools(request, model)],
        parameters=msgspec.structs.asdict(sampling),
        note=plan.note,
    )


def _expectation(request: GenerationRequest, plan: Plan, model: HostedModel) -> CacheExpectation:
    if request.reset_session:
        return CacheExpectation(0, "the request asks for a fresh start")
    pending = model.engine.expect(
        plan.prompt.tokens,
        cache_salt=request.cache_salt,
        session_id=request.session_id or DEFAULT_SESSION,
    )
    try:
        return pending.result(ENGINE_WAIT_S)
    except (TimeoutError, CancelledError):
        raise Unavailable("the engine does not say what it has cached; try again") from None


def _prompt_text(plan: Plan, model: HostedModel) -> str:
    """Return the prompt as it was rendered; what was given as tokens or for infill is spelt out."""
    if plan.prompt.is_chat:
        return plan.prompt.text
    tokenizer = model.tokenizer
    spelt = [
        tokenizer.token_text(token).encode() if token in tokenizer.control_ids else tokenizer.piece(token)
        for token in plan.prompt.tokens
    ]
    return b"".join(spelt).decode("utf-8", "replace")
