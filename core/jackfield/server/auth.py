"""Default-deny: with a key set, every path but three needs it, whichever protocol mounted the path."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from litestar.types import HTTPScope, Scope

from jackfield.errors import Unauthenticated
from jackfield.server.guards import headers_named

__all__ = ["KeyCheck", "owner_of"]

PUBLIC_PATHS = frozenset({"/", "/health"})
PUBLIC_FOLDER = "/static/"
OWNER = "jackfield_owner"


class KeyCheck:
    """Compare the key of a request with the configured ones, in time that says nothing about them."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(key.encode("utf-8")).digest() for key in keys]

    def check(self, scope: HTTPScope) -> None:
        """Note the owner of the request in its scope, or raise ``Unauthenticated``."""
        owner = self._owner(scope) if self._digests else ""
        if owner is None and not _is_public(scope["path"]):
            raise Unauthenticated(
                "this server needs an API key: send 'Authorization: Bearer KEY' or 'x-api-key: KEY'"
            )
        scope["state"][OWNER] = owner or ""

    def _owner(self, scope: HTTPScope) -> str | None:
        digest = hashlib.sha256(_presented_key(scope).encode("latin-1")).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return digest.hex()[:32] if any(matches) else None


def owner_of(scope: Scope) -> str:
    """Return the digest of the request's API key; an empty string where no key is asked for."""
    owner: str = scope["state"].get(OWNER, "")
    return owner


def _presented_key(scope: HTTPScope) -> str:
    for value in headers_named(scope, b"authorization"):
        scheme, _, key = value.partition(" ")
        if scheme.lower() == "bearer":
            return key.strip()
    return "".join(headers_named(scope, b"x-api-key")[:1]).strip()


def _is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or (path.startswith(PUBLIC_FOLDER) and ".." not in path)
