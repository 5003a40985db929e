"""What every placement does alike: names, sessions, observers, counts, and the shape of a stream."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from jackfield.errors import JackfieldError, RequestError, Unavailable, Unsupported
from jackfield.host import Host
from jackfield.service.config import EngineConfig
from jackfield.service.contract import Embedding, Relevance, RenderedPrompt, TokenizedText
from jackfield.service.events import (
    Admitted,
    Event,
    Failed,
    Finished,
    TextDelta,
    ThinkingDelta,
    Timings,
    Usage,
)
from jackfield.service.naming import match_model
from jackfield.service.questions import Detokenize, Embed, ForgetSession, Question, Rank, Render, Tokenize
from jackfield.service.reader import EventReader
from jackfield.service.requests import GenerationRequest, Message, ToolDefinition
from jackfield.service.sessions import Sessions
from jackfield.service.status import EngineLoad, EngineState, ModelInfo, ServiceStatus

__all__ = ["Front", "OpenStream"]

log = logging.getLogger("jackfield.service")
T = TypeVar("T")

NO_PROJECTOR = (None, "", "none")


@dataclass(frozen=True)
class OpenStream:
    """A request that was handed to an engine; ``cancel`` may be called at any time, and again."""

    reader: EventReader
    cancel: Callable[[], None]


@dataclass(eq=False)
class _Progress:
    """What was seen of a stream: counted while it lasts, told to observers when nobody reads its end."""

    admitted: Admitted | None = None
    num_deltas: int = 0
    opened_ns: int = field(default_factory=time.monotonic_ns)

    def saw(self, event: Event) -> None:
        if isinstance(event, Admitted):
            self.admitted = event
        self.num_deltas += isinstance(event, TextDelta | ThinkingDelta)

    def abandoned(self) -> Finished:
        """Return the end of a stream whose reader left: its tokens are at least the deltas seen."""
        admitted = self.admitted
        usage = Usage(
            num_prompt_tokens=admitted.num_prompt_tokens if admitted else 0,
            num_cached_tokens=admitted.num_cached_tokens if admitted else 0,
            num_completion_tokens=self.num_deltas,
        )
        timings = Timings(time.monotonic_ns() - self.opened_ns, 0, 0, 0, 0)
        return Finished("cancelled", usage, timings, note="the client left")


class Front(ABC):
    """The part of a service that lives with the event loop.

    Args:
        host: Its observers hear of requests, events and engines.
        config: Checked here.

    Raises:
        ConfigError: The configuration cannot be right.
    """

    def __init__(self, config: EngineConfig, host: Host) -> None:
        config.check()
        self._config = config
        self._host = host
        self._sessions = Sessions()
        self._loaded = config
        self._info: ModelInfo | None = None
        self._state: EngineState = "stopped"
        self._reason = "no model is loaded"
        self._num_processed = 0
        self._in_work: set[_Progress] = set()
        self._loading = asyncio.Lock()

    # ---- what a placement brings ----

    @abstractmethod
    async def _replace(self, config: EngineConfig) -> ModelInfo:
        """Load a model, let it take over, and retire the one before it."""

    @abstractmethod
    def _open(self, request: GenerationRequest) -> OpenStream:
        """Hand a request to the engine. Raises ``Unavailable`` when there is none to take it."""

    @abstractmethod
    def _load_now(self) -> EngineLoad:
        """Return what the engine is busy with."""

    @abstractmethod
    async def _ask(self, question: Question, answer: type[T]) -> T:
        """Return the answer to a question, which has that type; being cancelled withdraws it."""

    # ---- life ----

    async def start(self) -> None:
        """Load the configured model, if any; returns when it answers.

        Raises:
            JackfieldError: It cannot be loaded; the state is ``failed`` then.
        """
        if not self._config.model:
            return
        self._state, self._reason = "starting", "the model is being loaded"
        try:
            await self._replace(self._config)
        except Exception as error:
            failure = self._as_ours(error, "loading the model")
            self._state, self._reason = "failed", failure.message
            raise failure from error

    async def load(self, model: str, backend: str | None = None, projector: str | None = None) -> ModelInfo:
        """Replace the hosted model; the old one serves until the new one is ready, and after any error."""
        async with self._loading:
            try:
                config = self._config_for(model, backend, projector)
                if self._info is not None and self._is_current(config):
                    return self._info
                return await self._replace(config)
            except Exception as error:
                raise self._as_ours(error, "loading the model") from error

    # ---- generating ----

    async def generate(self, request: GenerationRequest) -> AsyncIterator[Event]:
        """Yield the request's events; see ``jackfield.service.contract.Service``."""
        try:
            self.resolve_model(request.model)
            stream = self._open(request)
        except Exception as error:
            yield self._refused(request, error)
            return
        progress, is_over = _Progress(), False
        self._in_work.add(progress)
        try:
            while not is_over:
                events, is_over = await stream.reader.next()
                for event in events:
                    progress.saw(event)
                    self._observe(request, event)
                    yield event
        finally:
            self._in_work.discard(progress)
            self._num_processed += 1
            if not is_over:
                stream.cancel()
                self._observe(request, progress.abandoned())

    def _refused(self, request: GenerationRequest, error: Exception) -> Failed:
        failed = Failed(self._as_ours(error, "handing the request to the engine").to_record())
        self._num_processed += 1
        self._observe(request, failed)
        return failed

    def _observe(self, request: GenerationRequest, event: Event) -> None:
        if isinstance(event, Admitted):
            self._host.observe("jackfield_request_admitted", request=request)
        self._host.observe("jackfield_event_emitted", request=request, event=event)

    # ---- questions ----

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> TokenizedText:
        """Turn text into token ids."""
        return await self._answer(Tokenize(text, add_special, parse_special), TokenizedText)

    async def detokenize(self, tokens: list[int]) -> str:
        """Turn token ids into text."""
        return await self._answer(Detokenize(tokens), str)

    async def render(
        self, messages: list[Message], tools: list[ToolDefinition], *, think: bool | str | None = None
    ) -> RenderedPrompt:
        """Render a conversation with the model's chat template."""
        return await self._answer(Render(messages, tools, think), RenderedPrompt)

    async def embed(self, inputs: list[str] | list[list[int]], *, truncate: bool) -> list[Embedding]:
        """Pool each input's hidden rows into a vector."""
        texts = [item for item in inputs if isinstance(item, str)]
        tokens = [item for item in inputs if not isinstance(item, str)]
        return await self._answer(Embed(texts, tokens, truncate), list[Embedding])

    async def rank(self, query: str, documents: list[str]) -> list[Relevance]:
        """Compare each document with the query."""
        return await self._answer(Rank(query, documents), list[Relevance])

    async def _answer(self, question: Question, answer: type[T]) -> T:
        try:
            return await self._ask(question, answer)
        except JackfieldError:
            raise
        except Exception as error:
            raise self._as_ours(error, type(question).__name__.lower()) from error

    def _as_ours(self, error: Exception, what: str) -> JackfieldError:
        """Return an error of the tree for any other; only ours go out."""
        if isinstance(error, JackfieldError):
            return error
        if isinstance(error, UnicodeEncodeError):
            return RequestError("a text holds half of a character (a lone surrogate); send valid Unicode")
        log.error("%s failed", what, exc_info=error)
        return JackfieldError(f"{what} failed; the log has the cause")

    # ---- models ----

    def resolve_model(self, name: str) -> ModelInfo:
        """Return the hosted model of that name; see ``Service``."""
        if not name.strip():
            raise RequestError("model is required", param="model")
        if self._info is None:
            raise Unavailable(f"no model answers: {self._reason}", retry_after_s=5)
        path = self._config.loadable().get(self._info.file, Path(self._info.file))
        match_model(name, {self._info.file: path})
        return self._info

    def available_models(self) -> list[str]:
        """Return the file names that ``load`` accepts."""
        return list(self._config.loadable())

    def _is_current(self, config: EngineConfig) -> bool:
        """Tell whether that model answers already, from the same file as it was, on the same backend."""
        if self._info is None or self._state != "ready" or config.backend != self._loaded.backend:
            return False
        if config.model != self._loaded.model:
            return False
        try:
            return Path(config.model).stat().st_mtime == self._info.modified_unix_s
        except OSError:  # loading it again will tell what is wrong with the file
            return False

    def _config_for(self, model: str, backend: str | None, projector: str | None) -> EngineConfig:
        """Find a model by its name. Raises ``NotFound``, ``UnknownName``, ``Unsupported``."""
        if projector not in NO_PROJECTOR:
            raise Unsupported(f"projector {projector!r} cannot be loaded: only text is read", param="mmproj")
        known = self._config.loadable()
        if backend is not None and backend != "auto":
            self._host.backend(backend)
        return self._config.with_model(str(known[match_model(model, known)]), backend)

    def _serves(self, info: ModelInfo, config: EngineConfig) -> None:
        """Take note that a model answers from now on."""
        self._loaded = config
        self._info, self._state, self._reason = info, "ready", ""
        self._host.observe("jackfield_engine_started", model=info)

    # ---- state and sessions ----

    def status(self) -> ServiceStatus:
        """Return the state of this moment."""
        load = self._load_now()
        num_running = sum(progress.admitted is not None for progress in self._in_work)
        return ServiceStatus(
            state=self._state,
            reason=self._reason,
            model=self._info,
            heartbeat_age_s=self._heartbeat_age_s(),
            num_running=num_running,
            num_waiting=len(self._in_work) - num_running,
            num_processed=self._num_processed,
            num_restarts=self._num_restarts(),
            num_free_pages=load.num_free_pages,
            num_pages=load.num_pages,
            num_cached_tokens=load.num_cached_tokens,
        )

    def _heartbeat_age_s(self) -> float:
        return 0.0

    def _num_restarts(self) -> int:
        return 0

    def create_session(self, owner: str) -> str:
        """Return a new session's id."""
        return self._sessions.create(owner)

    async def delete_session(self, session_id: str, owner: str) -> None:
        """Forget a session; a generation that runs in it ends as cancelled."""
        self._sessions.delete(session_id, owner)
        if self._state == "ready":
            await self._answer(ForgetSession(session_id), type(None))

    def has_session(self, session_id: str, owner: str) -> bool:
        """Tell whether that session exists and is that owner's."""
        return self._sessions.has(session_id, owner)
