"""Answering ``dry_run``: one shape, whatever the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from litestar import Request, Response

from jackfield.server.bodies import json_response
from jackfield.server.rail import Rail
from jackfield.server.streaming import collect
from jackfield.service.events import Admitted, DryRun, Event
from jackfield.service.requests import GenerationRequest

__all__ = ["answer_dry_run"]


async def answer_dry_run(
    rail: Rail, request: Request[Any, Any, Any], wanted: Sequence[GenerationRequest]
) -> Response[bytes]:
    """Answer what requests with ``dry_run`` would do: one object, or a list of several prompts' objects.

    Raises:
        JackfieldError: A request would be refused.
        ClientGone: The client left.
    """
    found = [
        _found_in(await collect(rail, request, rail.service.generate(one), num_choices=one.num_choices))
        for one in wanted
    ]
    return json_response(found[0] if len(found) == 1 else {"object": "list", "data": found})


def _found_in(events: Iterable[Event]) -> DryRun:
    return next(event.dry_run for event in events if isinstance(event, Admitted) and event.dry_run)
