"""What a diffusion model cannot be asked for: it writes whole blocks, so nothing can follow or steer single tokens."""

from __future__ import annotations

from jackfield.errors import Unsupported
from jackfield.service.requests import GenerationRequest, Sampling

__all__ = ["refuse_beyond_blocks", "unused_note"]

THINKING_ARGUMENTS = ("enable_thinking", "thinking")
UNUSED = (
    "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty",
    "frequency_penalty", "mirostat", "xtc_probability", "dry_multiplier",
)  # fmt: skip
"""Sampling parameters that shape the draw of single tokens; the model has a schedule of its own instead."""


def refuse_beyond_blocks(request: GenerationRequest, file: str) -> None:
    """Raise for the first thing that would silently not be done.

    Raises:
        Unsupported: ``param`` names it.
    """
    sampling = request.sampling
    asked = {
        "tools": bool(request.tools) and request.tool_choice.mode != "none",
        "think": bool(request.think) or any(request.template_arguments.get(a) for a in THINKING_ARGUMENTS),
        "format": request.constraint is not None,
        "logprobs": sampling.top_logprobs is not None,
        "min_tokens": sampling.min_tokens > 0,
    }
    words = {
        "tools": "call tools", "think": "think before it answers", "format": "follow a grammar or a schema",
        "logprobs": "give log-probabilities", "min_tokens": "promise a least length",
    }  # fmt: skip
    for name, is_asked in asked.items():
        if is_asked:
            raise Unsupported(
                f"model {file!r} writes whole blocks by diffusion and cannot {words[name]}; leave it out",
                param=name,
            )


def unused_note(sampling: Sampling) -> str:
    """Return which of the request's sampling parameters have no effect; empty for none."""
    default = Sampling()
    given = [name for name in UNUSED if getattr(sampling, name) != getattr(default, name)]
    return f"a diffusion model samples by its own schedule: {', '.join(given)} had no effect" if given else ""
