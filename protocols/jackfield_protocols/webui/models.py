"""What is hosted, what could be, and changing it."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request

from jackfield.errors import NotFound, RequestError
from jackfield.server import Rail, convert, while_connected
from jackfield_protocols.webui.bodies import DEFAULT_MAX_TOKENS

__all__ = ["describe_models", "load_model"]

NO_PROJECTOR = ("", "none")


class LoadBody(msgspec.Struct):
    """A model to load; ``mmproj`` is a projector, "none" for surely none, absent for whatever there is."""

    model: str | None = None
    backend: str | None = None
    mmproj: str | None = None


def describe_models(rail: Rail) -> dict[str, Any]:
    """Return the reply of ``GET /api/models``: names only, no paths."""
    names = rail.service.available_models()
    model = rail.service.status().model
    return {
        "models": [name for name in names if not _is_projector(name)],
        "mmProjModels": [name for name in names if _is_projector(name)],
        "loaded": model.file if model else None,
        "loadedMmProj": model.projector if model else None,
        "loadedBackend": model.backend if model else None,
        "defaultBackend": _default_backend(rail),
        "supportedBackends": [{"value": b.name, "label": b.summary} for b in rail.host.backends()],
        "architecture": model.architecture if model else None,
        "hostedModelPath": model.file if model else None,
        "hostedMmProjPath": model.projector if model else None,
        "defaultMaxTokens": DEFAULT_MAX_TOKENS,
        "contextLength": model.context_length if model else None,
        "capabilities": model.capabilities if model else [],
    }


async def load_model(rail: Rail, request: Request[Any, Any, Any], body: object) -> dict[str, Any]:
    """Load what the body names. Backend, model and projector are checked in this order."""
    wanted = convert(body, LoadBody)
    backend = _known_backend(rail, wanted.backend)
    names = rail.service.available_models()
    model = _known_file(names, wanted.model, "model")
    projector = wanted.mmproj
    if projector is not None and projector.strip().lower() not in NO_PROJECTOR:
        projector = _known_file(names, projector, "mmproj")
    try:
        info = await while_connected(request, rail.service.load(model, backend, projector))
    except NotFound as error:
        raise RequestError(error.message, param="model") from None
    return {
        "ok": True,
        "model": info.file,
        "loadedMmProj": info.projector,
        "architecture": info.architecture,
    }


def _known_backend(rail: Rail, name: str | None) -> str | None:
    if name is None or not name.strip():
        return None
    known = [spelling for backend in rail.host.backends() for spelling in backend.names]
    if name.strip().lower() not in known:
        raise RequestError(
            f"backend {name[:64]!r} is not supported; choose one of {', '.join(known)}", param="backend"
        )
    return name.strip().lower()


def _known_file(names: list[str], name: str | None, field: str) -> str:
    wanted = (name or "").strip().lower()
    if not wanted:
        raise RequestError(f"{field} is required", param=field)
    for candidate in names:
        if wanted in (candidate.lower(), candidate.lower().removesuffix(".gguf")):
            return candidate
    raise RequestError(f"{field} {wanted[:128]!r} is not hosted here; see GET /api/models", param=field)


def _default_backend(rail: Rail) -> str:
    if rail.settings.default_backend != "auto":
        return rail.settings.default_backend
    model = rail.service.status().model
    best = max(rail.host.backends(), key=lambda backend: backend.preference, default=None)
    return model.backend if model else best.name if best else "auto"


def _is_projector(name: str) -> bool:
    return "mmproj" in name.lower()
