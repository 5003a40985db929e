"""One line in the log for each finished request; no prompt and no answer is in it.

    r1f0c openai: 512 prompt tokens (420 cached) + 187 at 31.4/s in 6.1 s, stop
    r1f0d ollama: failed with context_length_exceeded

A request for several choices gets a line for each.
"""

from __future__ import annotations

import logging

from jackfield.hooks import hookimpl
from jackfield.service.events import Event, Failed, Finished
from jackfield.service.requests import GenerationRequest
from jackfield.service.status import ModelInfo

__all__ = [
    "jackfield_engine_started",
    "jackfield_engine_stopped",
    "jackfield_event_emitted",
    "jackfield_request_admitted",
]

log = logging.getLogger("jackfield.requests")


@hookimpl
def jackfield_engine_started(model: ModelInfo) -> None:
    """Log which model answers from now on."""
    log.info(
        "%s answers: %s, %s, backend %s, context %d, loaded in %.1f s",
        model.file,
        model.architecture,
        model.quantization,
        model.backend,
        model.context_length,
        model.load_ns / 1e9,
    )


@hookimpl
def jackfield_engine_stopped(reason: str) -> None:
    """Log why the engine does not answer any more."""
    log.info("the engine stopped: %s", reason)


@hookimpl
def jackfield_request_admitted(request: GenerationRequest) -> None:
    """Log, for those who look closely, that a request has joined the queue."""
    log.debug("%s %s: admitted for %s", request.id, request.protocol, request.model)


@hookimpl
def jackfield_event_emitted(request: GenerationRequest, event: Event) -> None:
    """Log a request when a choice of it is complete, or when it fails."""
    if isinstance(event, Failed):
        log.info("%s %s: failed with %s", request.id, request.protocol, event.error.code)
    elif isinstance(event, Finished):
        log.info("%s %s: %s", request.id, request.protocol, _describe(request, event))


def _describe(request: GenerationRequest, event: Finished) -> str:
    usage, timings = event.usage, event.timings
    rate = ""
    if timings.decode_ns > 0 and usage.num_completion_tokens > 1:
        # the first token ends the prefill, so decoding made one less
        rate = f" at {(usage.num_completion_tokens - 1) / (timings.decode_ns / 1e9):.1f}/s"
    choice = f", choice {event.choice + 1} of {request.num_choices}" if request.num_choices > 1 else ""
    return (
        f"{usage.num_prompt_tokens} prompt tokens ({usage.num_cached_tokens} cached)"
        f" + {usage.num_completion_tokens}{rate} in {timings.total_ns / 1e9:.1f} s, {event.reason}{choice}"
    )
