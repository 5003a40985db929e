"""A model that is ready to answer: what the pipeline works with, whoever put it together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from jackfield.constrain.grammar import Grammars
from jackfield.engine.contract import CacheExpectation, EngineStats, PoolingKind, SequenceRequest
from jackfield.service.requests import Message, ToolDefinition
from jackfield.service.status import ModelInfo
from jackfield.text.contract import ChatFormat, Tokenizer

__all__ = ["EngineHandle", "HostedModel", "PromptTemplate", "RenderedText"]


F32 = npt.NDArray[np.float32]


class RenderedText(Protocol):
    """What a chat template wrote."""

    @property
    def text(self) -> str:
        """The prompt."""
        ...

    @property
    def protected_spans(self) -> Sequence[tuple[int, int]]:
        """Ranges of the text where no control token is read: a message spelt one there."""
        ...

    @property
    def tail(self) -> str:
        """What the template added after the conversation, or where the last answer goes on."""
        ...


class PromptTemplate(Protocol):
    """The model's chat template; safe to call from several threads, bounded in time and memory."""

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolDefinition],
        *,
        think: bool | str,
        arguments: dict[str, str | int | float | bool],
        continue_final: bool,
    ) -> RenderedText:
        """Render a conversation. Raises ``RequestError`` when the template refuses it."""
        ...


class EngineHandle(Protocol):
    """What the service asks of an engine; every call is safe from any thread and returns at once."""

    def start(self) -> None:
        """Begin to run sequences."""
        ...

    def stop(self) -> None:
        """End: fail what is still running."""
        ...

    def submit(self, request: SequenceRequest) -> None:
        """Queue a sequence. Raises an error of the tree when it can never run."""
        ...

    def cancel(self, request_id: str, /) -> None:
        """End a sequence within one step; its sink hears ``finished("cancelled", …)``."""
        ...

    def pause(self, request_id: str, /) -> None:
        """Compute no more for a sequence until ``resume``."""
        ...

    def resume(self, request_id: str, /) -> None:
        """Go on with a paused sequence."""
        ...

    def embed(
        self, tokens: Sequence[int], *, pooling: PoolingKind = "mean", priority_key: str = ""
    ) -> Future[F32]:
        """Pool tokens into a unit vector."""
        ...

    def expect(
        self, tokens: Sequence[int], *, cache_salt: str = "", session_id: str | None = None
    ) -> Future[CacheExpectation]:
        """Look up what the cache would give a prompt now."""
        ...

    def forget_session(self, session_id: str) -> None:
        """Let go of the pages kept for a session."""
        ...

    def stats(self) -> EngineStats:
        """Return the counts of now."""
        ...


@dataclass(frozen=True)
class HostedModel:
    """A loaded model with everything a request meets on its way.

    Attributes:
        close: Releases files and the template's process, after the engine has stopped.
        damage: Tells what happened to the file under the engine, one sentence; ``None`` when nothing did.
    """

    info: ModelInfo
    tokenizer: Tokenizer
    chat_format: ChatFormat
    template: PromptTemplate
    engine: EngineHandle
    close: Callable[[], None]
    damage: Callable[[], str | None] = lambda: None

    @cached_property
    def grammars(self) -> Grammars:
        """The compiled grammars of this vocabulary and chat format."""
        return Grammars(self.tokenizer, self.chat_format)

    @property
    def preserved(self) -> frozenset[int]:
        """Control tokens that reach the format's parser as text."""
        ids = (self.tokenizer.id_of(text) for text in self.chat_format.preserved_tokens)
        return frozenset(token_id for token_id in ids if token_id is not None)
