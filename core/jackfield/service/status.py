"""What the service says of itself."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = ["EngineLoad", "EngineState", "ModelInfo", "ServiceStatus"]

EngineState = Literal["starting", "ready", "loading", "restarting", "stopped", "failed"]


class ModelInfo(msgspec.Struct, frozen=True):
    """The hosted model, as protocols describe it.

    Attributes:
        file: File name with extension: what clients pass as ``model``.
        name: File name without extension.
        capabilities: Of ``completion``, ``tools``, ``thinking``, ``vision``, ``audio``, ``embedding`` and
            ``insert``.
        metadata: The file's metadata; arrays of more than five entries are ``None`` here.
        digest: ``sha256`` hex of the file's header and size: stable, cheap, not of the whole file.
        pooling: How the model's rows become a text's vector; ``None`` for one that cannot embed.
        num_slots: Sequences that run at once.
        tensors: Name, type and shape (numpy order) of each tensor.
        canvas_length: Tokens of a block, for a diffusion model; ``None`` for one that writes token by token.
    """

    file: str
    name: str
    architecture: str
    size_bytes: int
    modified_unix_s: float
    digest: str
    context_length: int
    trained_context_length: int
    embedding_length: int
    num_parameters: int
    quantization: str
    vocab_size: int
    backend: str
    chat_template: str
    chat_format: str
    capabilities: list[str]
    metadata: dict[str, Any]
    tensors: list[tuple[str, str, list[int]]]
    load_ns: int = 0
    resident_bytes: int = 0
    projector: str | None = None
    pooling: Literal["mean", "first", "last"] | None = "mean"
    canvas_length: int | None = None
    num_slots: int = 1


class EngineLoad(msgspec.Struct, frozen=True):
    """What an engine is busy with, in sequences and pages; a request may have several sequences."""

    num_running: int = 0
    num_waiting: int = 0
    num_free_pages: int = 0
    num_pages: int = 0
    num_cached_tokens: int = 0


class ServiceStatus(msgspec.Struct, frozen=True):
    """A moment of the service.

    Attributes:
        state: ``ready`` is the only one that answers requests.
        reason: Why it is not ready, one sentence.
        heartbeat_age_s: Seconds since the engine last showed that it is alive.
        num_running: Requests that are being answered. ``num_waiting``: that wait for a place in the batch.
        num_processed: Requests that reached an end since start.
        num_restarts: Times the engine was restarted after dying.
    """

    state: EngineState
    reason: str = ""
    model: ModelInfo | None = None
    heartbeat_age_s: float = 0.0
    num_running: int = 0
    num_waiting: int = 0
    num_processed: int = 0
    num_restarts: int = 0
    num_free_pages: int = 0
    num_pages: int = 0
    num_cached_tokens: int = 0
