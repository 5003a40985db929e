"""``dry_run``: what a request would do, without doing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from jackfield.service.events import Admitted, Event
from jackfield.service.requests import GenerationRequest

__all__ = ["dry_run_body"]


def dry_run_body(request: GenerationRequest, events: Sequence[Event]) -> dict[str, Any]:
    """Return the rendered prompt, its tokens, the effective parameters and what the cache would give."""
    admitted = next(event for event in events if isinstance(event, Admitted))
    return {
        "object": "dry_run",
        "model": admitted.model,
        "prompt": admitted.rendered_prompt,
        "prompt_tokens": admitted.num_prompt_tokens,
        "cached_tokens": admitted.num_cached_tokens,
        "max_tokens": admitted.max_tokens,
        "parameters": msgspec.structs.asdict(request.sampling),
        "think": request.think,
        "cache_note": admitted.cache_note,
    }
