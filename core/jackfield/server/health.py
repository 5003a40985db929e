"""What machines ask the server: whether it can answer, and its counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from jackfield.server.bodies import json_response
from jackfield.server.reader import OpenStreams
from jackfield.service.contract import Service
from jackfield.service.status import ServiceStatus

__all__ = ["health_handlers"]

DEAD_AFTER_S = 10.0
STATES = ("starting", "ready", "loading", "restarting", "stopped", "failed")


class _Watched(Protocol):
    """The part of the rail that is measured."""

    @property
    def service(self) -> Service: ...
    @property
    def streams(self) -> OpenStreams: ...
    @property
    def num_answers(self) -> Counter[int]: ...


def is_healthy(status: ServiceStatus) -> bool:
    """Tell whether the engine answers: it says so, and has shown a sign of life."""
    return status.state in ("ready", "loading") and status.heartbeat_age_s <= DEAD_AFTER_S


def health_handlers(rail: _Watched) -> list[HTTPRouteHandler]:
    """Return the handlers of ``/health`` and ``/metrics``."""

    @get("/health")
    async def health() -> Response[bytes]:
        """Answer 200 only when a request sent now would be served."""
        status = rail.service.status()
        if is_healthy(status):
            return json_response({"status": "ok"})
        word = "loading model" if status.state in ("starting", "restarting") else "error"
        return json_response({"status": word, "reason": _reason(status)}, 503, {"retry-after": "5"})

    @get("/metrics")
    async def metrics() -> Response[Any]:
        """Write the counters in Prometheus' text form."""
        text = "\n".join([*_lines(rail), ""])
        # Litestar adds the charset; naming it twice makes Prometheus refuse the answer
        return Response(text, media_type="text/plain; version=0.0.4")

    return [health, metrics]


def _reason(status: ServiceStatus) -> str:
    """Say why in fixed words: this path needs no key, so the engine's own text stays inside."""
    if status.heartbeat_age_s > DEAD_AFTER_S and status.state in ("ready", "loading"):
        return f"the engine has shown no sign of life for {status.heartbeat_age_s:.0f} s"
    return f"the engine is {status.state}"


def _lines(rail: _Watched) -> Iterator[str]:
    status = rail.service.status()
    yield "# TYPE jackfield_http_answers_total counter"
    for code, count in sorted(rail.num_answers.items()):
        yield f'jackfield_http_answers_total{{status="{code}"}} {count}'
    yield "# TYPE jackfield_engine_state gauge"
    for state in STATES:
        yield f'jackfield_engine_state{{state="{state}"}} {int(status.state == state)}'
    for name, kind, value in _figures(rail, status):
        yield f"# TYPE jackfield_{name} {kind}"
        yield f"jackfield_{name} {value}"


def _figures(rail: _Watched, status: ServiceStatus) -> list[tuple[str, str, float]]:
    return [
        ("open_streams", "gauge", len(rail.streams)),
        ("requests_running", "gauge", status.num_running),
        ("requests_waiting", "gauge", status.num_waiting),
        ("requests_processed_total", "counter", status.num_processed),
        ("engine_restarts_total", "counter", status.num_restarts),
        ("engine_heartbeat_age_seconds", "gauge", round(status.heartbeat_age_s, 3)),
        ("cache_pages", "gauge", status.num_pages),
        ("cache_pages_free", "gauge", status.num_free_pages),
        ("cache_tokens", "gauge", status.num_cached_tokens),
    ]
