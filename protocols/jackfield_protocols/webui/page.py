"""The page itself: a handful of static files, read once, with headers that let it load nothing else."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from litestar import Request, Response

from jackfield.errors import NotFound

__all__ = ["home", "page_for_unknown_path", "static_file"]

MEDIA_TYPES = MappingProxyType(
    {
        "html": "text/html",
        "css": "text/css",
        "js": "text/javascript",
        "svg": "image/svg+xml",
    }
)
HEADERS = MappingProxyType(
    {
        "content-security-policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
    }
)
API_FOLDERS = ("/api/", "/v1/", "/static/")


def _load() -> dict[str, bytes]:
    folder = files("jackfield_protocols.webui") / "static"
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


FILES = MappingProxyType(_load())
ETAGS = MappingProxyType({name: f'"{hashlib.sha256(data).hexdigest()[:32]}"' for name, data in FILES.items()})


def home(request: Request[Any, Any, Any]) -> Response[Any]:
    """Answer a browser with the page, and an Ollama client with the words it looks for."""
    if wants_html(request):
        return static_file(request, "index.html")
    return Response("Ollama is running", media_type="text/plain")


def page_for_unknown_path(request: Request[Any, Any, Any]) -> Response[Any] | None:
    """Show the page for a path typed into a browser; API paths stay a 404."""
    if request.url.path.startswith(API_FOLDERS) or not wants_html(request):
        return None
    return static_file(request, "index.html")


def static_file(request: Request[Any, Any, Any], name: str) -> Response[Any]:
    """Return one of the page's files. Raises ``NotFound`` for any other name."""
    if name not in FILES:
        raise NotFound("nothing is served at this path", code="route_not_found")
    headers = {**HEADERS, "etag": ETAGS[name], "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == ETAGS[name]:
        return Response(b"", status_code=304, headers=headers)
    return Response(FILES[name], media_type=MEDIA_TYPES[name.rpartition(".")[2]], headers=headers)


def wants_html(request: Request[Any, Any, Any]) -> bool:
    """Tell whether a browser asks."""
    return "text/html" in request.headers.get("accept", "")
