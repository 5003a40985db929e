"""What a protocol gets from the rail, and what it gives to it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from litestar import Request, Response
from litestar.types import ControllerRouterHandler

from jackfield.host import Host
from jackfield.server.auth import owner_of
from jackfield.server.errors import ErrorSurface
from jackfield.server.reader import OpenStreams
from jackfield.server.request_id import current_request_id
from jackfield.server.settings import ServerSettings
from jackfield.server.uploads import UploadStore
from jackfield.service.contract import Service

__all__ = ["Identity", "ProtocolRoutes", "Rail", "SharedRoute"]


@dataclass(frozen=True)
class Identity:
    """Who asks: the request's id, and a digest of the API key ("" where none is asked for)."""

    request_id: str
    owner: str


@dataclass(frozen=True)
class Rail:
    """What a protocol's factory is given.

    Attributes:
        streams: The answers being streamed now.
        num_answers: Answers given so far, by status.
    """

    settings: ServerSettings
    service: Service
    host: Host
    uploads: UploadStore
    streams: OpenStreams = field(default_factory=OpenStreams)
    num_answers: Counter[int] = field(default_factory=Counter[int])
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def identity(self, request: Request[Any, Any, Any]) -> Identity:
        """Return the id and the owner to put into a ``GenerationRequest``.

        Clients may choose their request's id and use it twice; a running number keeps ours apart.
        """
        request_id = f"{current_request_id.get()[:50]}.{next(self._numbers)}"
        return Identity(request_id, owner_of(request.scope))


@dataclass(frozen=True, kw_only=True)
class SharedRoute:
    """A handler for a path that several protocols serve.

    Attributes:
        claim: ``(decoded body, headers by lower-case name)`` to how sure this protocol is that the request is
            its own; the highest is called, and among equals the protocol registered first. 0 is "not mine".
        handler: ``(request, raw body)`` to the answer.
    """

    method: str
    path: str
    claim: Callable[[object, Mapping[str, str]], int]
    handler: Callable[[Request[Any, Any, Any], bytes], Awaitable[Response[Any]]]


@dataclass(frozen=True, kw_only=True)
class ProtocolRoutes:
    """What a protocol mounts.

    Attributes:
        handlers: Litestar handlers and routers. ``HEAD`` is answered wherever ``GET`` is.
        shared: Paths that other protocols may serve as well.
        errors: How errors look on this protocol's paths.
        fallback: Asked for an answer to a ``GET`` that no handler serves, before it becomes a 404.
    """

    handlers: Sequence[ControllerRouterHandler] = ()
    shared: Sequence[SharedRoute] = ()
    errors: Sequence[ErrorSurface] = ()
    fallback: Callable[[Request[Any, Any, Any]], Response[Any] | None] | None = None
