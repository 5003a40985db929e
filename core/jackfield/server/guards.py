"""Who may talk to this server from a browser: exact names in ``Host``, no strangers in ``Origin``.

The framework's own host list compares the port too, and its JSON routes take ``text/plain`` bodies, as
``curl`` sends them; so the content type is no defence. These two checks come before anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from litestar.types import HTTPScope

from jackfield.errors import Forbidden
from jackfield.server.errors import HttpRefusal
from jackfield.server.settings import ServerSettings

__all__ = ["HostGuard", "OriginGuard", "headers_named"]

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]@/\s]+)(?::(?P<port>[0-9]{1,5}))?")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
WILDCARDS = frozenset({"0.0.0.0", "::", "[::]", ""})
EXPOSED = "x-request-id, x-tensorsharp-request-id, request-id, retry-after"


def headers_named(scope: HTTPScope, name: bytes) -> list[str]:
    """Return every value of a header, in order."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


class HostGuard:
    """Refuse any ``Host`` but the names this server is known by; a rebound DNS name is not one of them."""

    def __init__(self, settings: ServerSettings) -> None:
        bound = () if settings.host in WILDCARDS else (_bracketed(settings.host),)
        named = (_bracketed(name) for name in settings.allow_hosts)
        self._names = LOOPBACK_NAMES | {name.lower() for name in (*bound, *named)}

    def check(self, scope: HTTPScope) -> None:
        """Raise ``HttpRefusal`` for a malformed host and ``Forbidden`` for an unknown one."""
        values = headers_named(scope, b"host")
        match = HOST.fullmatch(values[0].lower()) if len(values) == 1 else None
        if (
            not scope["path"].startswith("/")
            or match is None
            or int(match["port"] or 1) not in range(1, 65536)
        ):
            raise HttpRefusal(400, "the request needs one Host header of the form 'name' or 'name:port'")
        if match["name"] not in self._names:
            raise Forbidden(
                f"Host {match['name']!r} is not a name of this server; start it with --allow-host to add one",
                code="host_not_allowed",
            )


class OriginGuard:
    """Refuse requests that another site's page makes, unless the operator named that site."""

    def __init__(self, settings: ServerSettings) -> None:
        self._origins = frozenset(settings.cors_origins)

    def check(self, scope: HTTPScope) -> None:
        """Raise ``Forbidden`` for a request from a foreign page."""
        origins = headers_named(scope, b"origin")
        if origins:
            foreign = any(not self._is_own(origin, scope) and not self.allows(origin) for origin in origins)
        else:
            site = headers_named(scope, b"sec-fetch-site")
            foreign = bool(site) and site[0] not in ("same-origin", "none") and not _is_navigation(scope)
        if foreign:
            raise Forbidden(
                "requests from other web sites are refused; start the server with --cors-origin to name one",
                code="origin_not_allowed",
            )

    def allows(self, origin: str) -> bool:
        """Tell whether the operator named that origin."""
        return origin in self._origins or ("*" in self._origins and origin != "null")

    def is_preflight(self, scope: HTTPScope) -> bool:
        """Tell whether a browser asks before it sends the real request."""
        asks = headers_named(scope, b"access-control-request-method")
        return scope["method"] == "OPTIONS" and bool(asks) and bool(headers_named(scope, b"origin"))

    def cors_headers(self, scope: HTTPScope) -> Mapping[str, str]:
        """Return what lets a named origin read the answer; nothing for everybody else."""
        origins = headers_named(scope, b"origin")
        if len(origins) != 1 or not self.allows(origins[0]):
            return {}
        return {
            "access-control-allow-origin": origins[0],
            "access-control-expose-headers": EXPOSED,
            "vary": "Origin",
        }

    def preflight_headers(self, scope: HTTPScope) -> Mapping[str, str]:
        """Return what a preflight that ``check`` has let pass wants to know, beside ``cors_headers``."""
        return {
            "access-control-allow-methods": "GET, HEAD, POST, DELETE",
            "access-control-allow-headers": ", ".join(
                headers_named(scope, b"access-control-request-headers")
            ),
            "access-control-max-age": "600",
        }

    def _is_own(self, origin: str, scope: HTTPScope) -> bool:
        # a TLS proxy in front changes the scheme, and one host:port cannot be both
        host = headers_named(scope, b"host")[0].lower()
        return origin.lower() in (f"http://{host}", f"https://{host}")


def _is_navigation(scope: HTTPScope) -> bool:
    """A link on another site may open the page; its scripts cannot read what comes back."""
    mode, target = headers_named(scope, b"sec-fetch-mode"), headers_named(scope, b"sec-fetch-dest")
    return scope["method"] in ("GET", "HEAD") and mode == ["navigate"] and target == ["document"]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
