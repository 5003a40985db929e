"""How an error of the tree becomes a status and a body in the shape of the protocol whose path it happened on.

A protocol declares one ``ErrorSurface`` for each family of its paths. The longest prefix that fits decides,
also where no handler was reached: wrong path, wrong method, no key, body too large.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec
from litestar.exceptions import HTTPException

from jackfield.errors import (
    BackendError,
    BackendUnavailable,
    CapacityError,
    DuplicateName,
    Forbidden,
    InvalidOutput,
    JackfieldError,
    NotFound,
    OutOfMemory,
    RateLimited,
    RequestError,
    TooLarge,
    Unauthenticated,
)
from jackfield.server.request_id import current_request_id

__all__ = ["ErrorSurface", "ErrorSurfaces", "HttpRefusal", "WireError", "presentable"]

log = logging.getLogger("jackfield.server")

STATUSES: Mapping[type[JackfieldError], int] = MappingProxyType(
    {
        RequestError: 400,
        Unauthenticated: 401,
        Forbidden: 403,
        NotFound: 404,
        TooLarge: 413,
        InvalidOutput: 422,
        RateLimited: 429,
        CapacityError: 503,
        BackendUnavailable: 503,
        OutOfMemory: 503,
        BackendError: 500,
        JackfieldError: 500,
    }
)
PLACES = re.compile(
    r"(?<![\w/.])(?:[A-Za-z]:\\|/(?:home|root|tmp|var|usr|opt|mnt|media|data|srv|etc|proc|dev|run|Users|private)/)"
    r"(?:[^\s'\"/\\]+[/\\])*"
)
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")


class HttpRefusal(RequestError):
    """Refused by the rules of HTTP rather than by what was asked; carries its own status.

    Args:
        status: Such as 405, 408, 415, 431 or 507.
        headers: Sent with the refusal.
    """

    code: ClassVar[str] = "invalid_request"

    def __init__(
        self, status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class WireError:
    """An error ready to be sent."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class ErrorSurface:
    """One shape of errors and the paths that have it.

    Attributes:
        prefixes: ``"/v1"`` covers ``/v1`` and all below it; the longest prefix of all protocols wins.
        body: ``(error, status)`` to the JSON value of the body.
        statuses: Where this shape departs from the common table; a class covers its subclasses.
    """

    prefixes: tuple[str, ...]
    body: Callable[[JackfieldError, int], Any]
    statuses: Mapping[type[JackfieldError], int] = field(default_factory=lambda: MappingProxyType({}))

    def status_of(self, error: JackfieldError) -> int:
        """Return the HTTP status that an error has here."""
        if isinstance(error, HttpRefusal):
            return error.status
        for kind in type(error).__mro__:
            for table in (self.statuses, STATUSES):
                if kind in table:
                    return table[kind]
        return 500


class ErrorSurfaces:
    """The surfaces of every mounted protocol, found by path."""

    def __init__(self, surfaces: Iterable[ErrorSurface] = ()) -> None:
        self._by_prefix: dict[str, ErrorSurface] = {}
        self._plain = ErrorSurface(prefixes=("",), body=lambda error, _status: {"error": error.message})
        for surface in surfaces:
            self.add(surface)

    def add(self, surface: ErrorSurface) -> None:
        """Mount a surface. Raises ``DuplicateName`` when another has one of its prefixes."""
        for prefix in surface.prefixes:
            if prefix in self._by_prefix:
                raise DuplicateName(f"two protocols shape the errors of {prefix!r}; leave one of them out")
            self._by_prefix[prefix] = surface

    def at(self, path: str) -> ErrorSurface:
        """Return the surface of a path; a plain ``{"error": text}`` where no protocol claims it."""
        fitting = [prefix for prefix in self._by_prefix if path == prefix or path.startswith(f"{prefix}/")]
        return self._by_prefix[max(fitting, key=len)] if fitting else self._plain

    def render(self, path: str, error: Exception) -> WireError:
        """Turn whatever was raised into the answer of that path."""
        shown = presentable(error)
        surface = self.at(path)
        status = surface.status_of(shown)
        headers = dict(shown.headers) if isinstance(shown, HttpRefusal) else {}
        headers["content-type"] = "application/json"
        if status in (429, 503, 529):
            headers["retry-after"] = str(min(max(shown.retry_after_s or 1, 1), 60))
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        return WireError(status, headers, msgspec.json.encode(surface.body(shown, status)))


def presentable(error: Exception) -> JackfieldError:
    """Return an error that may be shown to a client; what may not is logged and replaced.

    Requests' own errors pass as they are. Others lose folders and addresses, and an exception outside the
    tree becomes one fixed sentence with the request id.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, JackfieldError):
        return _without_places(error)
    if isinstance(error, HTTPException):
        return _from_litestar(error)
    return _internal(error)


def _internal(error: Exception) -> JackfieldError:
    log.error("unexpected exception", exc_info=error)
    request_id = current_request_id.get()
    return JackfieldError(f"the server failed on this request; its log has the cause under id {request_id}")


def _without_places(error: JackfieldError) -> JackfieldError:
    record = error.to_record()
    message = ADDRESS.sub("0x…", PLACES.sub("", record.message))
    details = [ADDRESS.sub("0x…", PLACES.sub("", detail)) for detail in record.details]
    return JackfieldError.from_record(msgspec.structs.replace(record, message=message, details=details))


def _from_litestar(error: HTTPException) -> JackfieldError:
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    match error.status_code:
        case 404:
            return NotFound("nothing is served at this path", code="route_not_found")
        case 405:
            allowed = headers.get("allow", "")
            return HttpRefusal(
                405,
                f"this path does not take that method; it takes {allowed or 'others'}",
                code="method_not_allowed",
                headers={"allow": allowed} if allowed else None,
            )
        case 413:
            return TooLarge("the request body is over the limit of this path")
        case status if 400 <= status < 500:
            return HttpRefusal(status, error.detail)
        case _:
            return _internal(error)
