"""The service contract: one interface, wherever the engine lives."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from jackfield.errors import RequestError
from jackfield.service.events import Event
from jackfield.service.requests import GenerationRequest, Message, ToolDefinition
from jackfield.service.status import ModelInfo, ServiceStatus

__all__ = ["Embedding", "Relevance", "RenderedPrompt", "Service", "TokenizedText"]


class TokenizedText(msgspec.Struct, frozen=True):
    """Token ids and, for each, its bytes."""

    tokens: list[int]
    pieces: list[bytes]


class RenderedPrompt(msgspec.Struct, frozen=True):
    """What the chat template made of a conversation."""

    text: str
    num_tokens: int


class Embedding(msgspec.Struct, frozen=True):
    """A pooled, L2-normalised vector."""

    values: list[float]
    num_tokens: int

    def shortened(self, dimensions: int | None) -> list[float]:
        """Return the first dimensions, made a vector of unit length again; all of them for ``None``.

        Raises:
            RequestError: The vector has fewer.
        """
        if dimensions is None or dimensions == len(self.values):
            return self.values
        if dimensions > len(self.values):
            raise RequestError(
                f"dimensions is {dimensions}, expected at most {len(self.values)}, the model's width",
                param="dimensions",
            )
        kept = self.values[:dimensions]
        length = math.hypot(*kept) or 1.0
        return [value / length for value in kept]


class Relevance(msgspec.Struct, frozen=True):
    """How near a document is to a query: the cosine of their vectors, -1 to 1."""

    score: float
    num_tokens: int


class Service(Protocol):
    """Everything a protocol may ask for. All calls are safe from one event loop at any time.

    Errors raised are of the tree in ``jackfield.errors``; nothing else escapes.
    """

    async def start(self) -> None:
        """Load the configured model, if any; returns when it answers."""
        ...

    async def stop(self, drain_s: float) -> None:
        """Refuse new requests, let running ones finish for ``drain_s``, then end them with an error."""
        ...

    def generate(self, request: GenerationRequest) -> AsyncIterator[Event]:
        """Return the request's events; the stream always ends with ``Finished`` or ``Failed``.

        Nothing is raised from here: a refusal is the ``Failed`` event. Closing the iterator early
        (``aclose``, or cancelling the task) cancels the generation within one step.
        """
        ...

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> TokenizedText:
        """Turn text into token ids."""
        ...

    async def detokenize(self, tokens: list[int]) -> str:
        """Turn token ids into text; raises ``RequestError`` for an id outside the vocabulary."""
        ...

    async def render(
        self, messages: list[Message], tools: list[ToolDefinition], *, think: bool | str | None = None
    ) -> RenderedPrompt:
        """Render a conversation with the model's chat template."""
        ...

    async def embed(self, inputs: list[str] | list[list[int]], *, truncate: bool) -> list[Embedding]:
        """Pool each input's hidden rows into a vector; raises ``Unsupported`` where the model cannot."""
        ...

    async def rank(self, query: str, documents: list[str]) -> list[Relevance]:
        """Compare each document with the query by their pooled vectors, in the documents' order.

        Raises ``Unsupported`` where the model cannot embed, ``ContextOverflow`` for a text that is too long.
        """
        ...

    async def load(self, model: str, backend: str | None = None, projector: str | None = None) -> ModelInfo:
        """Replace the hosted model; the old one keeps serving until the new one is ready to.

        Raises ``NotFound`` for a name that is not hosted, and keeps the old model on any error.
        """
        ...

    def status(self) -> ServiceStatus:
        """Return the state of this moment, without waiting."""
        ...

    def resolve_model(self, name: str) -> ModelInfo:
        """Return the hosted model of that name (with or without ``.gguf``, ``:latest``, any case).

        Raises ``RequestError`` for a blank name, ``NotFound`` for another model, ``Unavailable`` when
        none is loaded.
        """
        ...

    def available_models(self) -> list[str]:
        """Return file names that ``load`` accepts."""
        ...

    def create_session(self, owner: str) -> str:
        """Return a new session id, 32 hex digits."""
        ...

    async def delete_session(self, session_id: str, owner: str) -> None:
        """Forget a session and free its cached pages; raises ``NotFound`` for unknown or foreign ones."""
        ...

    def has_session(self, session_id: str, owner: str) -> bool:
        """Tell whether that session exists and belongs to that owner."""
        ...
