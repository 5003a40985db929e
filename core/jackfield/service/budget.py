"""How long a context and how many cached tokens fit in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from jackfield.backend import Limits, MemoryEstimate
from jackfield.errors import OutOfMemory
from jackfield.program import Program
from jackfield.service.config import DEFAULT_CONTEXT_LENGTH, EngineConfig

__all__ = ["plan_limits"]

log = logging.getLogger("jackfield.service")

SMALLEST_CONTEXT = 512
CONTEXTS_WANTED = 2
"""Pages for so many full contexts: one that runs, and one whose prefix is kept."""

SHORT_SEQUENCE = 512
"""Every sequence of a full batch should have room for at least so many tokens."""

SPARE_STATE_SLOTS = 4
"""Recurrent states kept beside those of running sequences, to take up earlier prefixes."""

Estimate = Callable[[Limits], MemoryEstimate]


def plan_limits(
    program: Program, config: EngineConfig, num_threads: int, estimate: Estimate, available: int | None
) -> Limits:
    """Return the limits to open the program with.

    A context that was asked for is kept or refused; otherwise it shrinks until it fits.

    Args:
        estimate: The backend's, for any limits.
        available: Bytes that may be taken; ``None`` where the system does not say, and nothing is checked.

    Raises:
        OutOfMemory: Even the smallest does not fit; the message has the figures.
    """
    context = config.context_length or min(program.context_length, DEFAULT_CONTEXT_LENGTH)
    if context > program.context_length:
        log.warning(
            "context of %d is longer than the %d the model was trained for", context, program.context_length
        )
    room = None if available is None else available - config.memory_reserve
    while True:
        limits = _limits(program, config, num_threads, context, config.cache_tokens or context)
        needed = estimate(limits)
        if room is None or needed.resident_bytes <= room:
            _warn_of_paging(needed, room)
            return _with_more_pages(limits, config, estimate, room)
        if config.context_length is not None or context <= SMALLEST_CONTEXT:
            raise _too_large(limits, estimate, room)
        context = max(SMALLEST_CONTEXT, context // 2)
        log.warning("memory is short: trying a context of %d", context)


def _warn_of_paging(needed: MemoryEstimate, room: int | None) -> None:
    """Say that a model runs from its file: the system drops what is mapped and reads it anew for each token."""
    if room is not None and needed.mapped_bytes > room - needed.resident_bytes:
        log.warning(
            "the model file has %s and %s of memory can be taken: parts will be read from the disk again for"
            " each token; a smaller or more quantised model is many times faster",
            _mib(needed.mapped_bytes),
            _mib(room - needed.resident_bytes),
        )


def _limits(
    program: Program, config: EngineConfig, num_threads: int, context: int, cache_tokens: int
) -> Limits:
    slots = config.max_sequences + SPARE_STATE_SLOTS if program.is_recurrent else 0
    canvas = program.diffusion.canvas_length if program.diffusion is not None else 0
    # as many canvases together as there are rows for: each output row costs a row of logits
    canvases = min(config.max_sequences, max(1, config.max_rows // canvas)) if canvas else 0
    return Limits(
        num_pages=-(-max(cache_tokens, context) // config.page_size) + 1,
        page_size=config.page_size,
        max_rows=max(config.max_rows, canvas),
        max_outputs=max(64, config.max_sequences, canvases * canvas),
        max_sequences=config.max_sequences,
        max_context=context,
        num_state_slots=slots,
        num_threads=num_threads,
        kv_type=config.kv_type,
    )


def _with_more_pages(limits: Limits, config: EngineConfig, estimate: Estimate, room: int | None) -> Limits:
    """Add pages up to what a batch wants; half of what is missing at a time, until it fits."""
    if config.cache_tokens is not None:
        return limits
    wanted_tokens = max(CONTEXTS_WANTED * limits.max_context, config.max_sequences * SHORT_SEQUENCE)
    extra = max(0, -(-wanted_tokens // limits.page_size) + 1 - limits.num_pages)
    while extra:
        larger = replace(limits, num_pages=limits.num_pages + extra)
        if room is None or estimate(larger).resident_bytes <= room:
            return larger
        extra //= 2
    return limits


def _too_large(limits: Limits, estimate: Estimate, room: int) -> OutOfMemory:
    needed = estimate(limits)
    per_token = needed.kv_bytes / max(1, limits.num_pages * limits.page_size)
    fixed = needed.resident_bytes - needed.kv_bytes
    fitting = int((room - fixed) / per_token) if per_token and room > fixed else 0
    advice = f"a context of {fitting} would fit" if fitting >= 16 else "use a smaller model"
    return OutOfMemory(
        f"a context of {limits.max_context} needs {_mib(needed.resident_bytes)} beside the model file and"
        f" {_mib(max(0, room))} can be taken; {advice}",
        numbers={"needed_bytes": needed.resident_bytes, "available_bytes": max(0, room), "fitting": fitting},
    )


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.0f} MiB"
