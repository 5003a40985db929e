"""What Ollama clients ask about models: tags, show, ps, version."""

from __future__ import annotations

from typing import Any

from jackfield import __version__
from jackfield.service.status import ModelInfo
from jackfield_protocols.ollama.frames import timestamp

__all__ = ["ps_body", "show_body", "tags_body", "version_body"]

OLLAMA_VERSION = "0.12.6"
"""The Ollama release whose API this is: clients compare it as numbers, with 0.6.4 and the like."""

NEVER_EXPIRES = "2318-01-01T00:00:00Z"


def version_body() -> dict[str, str]:
    """Return ``GET /api/version``."""
    return {"version": OLLAMA_VERSION, "jackfield": __version__}


def tags_body(model: ModelInfo | None) -> dict[str, Any]:
    """Return ``GET /api/tags``: the hosted model, if there is one."""
    if model is None:
        return {"models": []}
    entry = {
        "name": model.name,
        "model": model.file,
        "size": model.size_bytes,
        "modified_at": timestamp(model.modified_unix_s),
        "digest": model.digest,
        "details": _details(model),
        "capabilities": model.capabilities,
    }
    return {"models": [entry]}


def ps_body(model: ModelInfo | None) -> dict[str, Any]:
    """Return ``GET /api/ps``: a hosted model is always loaded and never expires."""
    if model is None:
        return {"models": []}
    entry = {
        "name": model.name,
        "model": model.file,
        "size": model.resident_bytes or model.size_bytes,
        "size_vram": 0,
        "digest": model.digest,
        "details": _details(model),
        "expires_at": NEVER_EXPIRES,
        "context_length": model.context_length,
    }
    return {"models": [entry]}


def show_body(model: ModelInfo, *, verbose: bool) -> dict[str, Any]:
    """Return ``POST /api/show``: Ollama's fields and the contract's ``model_info.file`` and ``size``."""
    hidden = ("general.name", "tokenizer.chat_template")
    metadata = {key: value for key, value in model.metadata.items() if key not in hidden}
    body: dict[str, Any] = {
        "modelfile": "",
        "parameters": "",
        "template": model.chat_template,
        "details": _details(model),
        "model_info": {
            **metadata,
            "general.architecture": model.architecture,
            "general.parameter_count": model.num_parameters,
            f"{model.architecture}.context_length": model.trained_context_length,
            f"{model.architecture}.embedding_length": model.embedding_length,
            "file": model.file,
            "size": model.size_bytes,
        },
        "capabilities": model.capabilities,
        "modified_at": timestamp(model.modified_unix_s),
    }
    if verbose:
        body["tensors"] = [
            {"name": name, "type": kind, "shape": list(reversed(shape))}
            for name, kind, shape in model.tensors
        ]
    return body


def _details(model: ModelInfo) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.architecture,
        "families": [model.architecture],
        "parameter_size": _parameter_size(model.num_parameters),
        "quantization_level": model.quantization,
    }


def _parameter_size(count: int) -> str:
    """Write a count as model names do: 596.0M, 8.0B."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)
