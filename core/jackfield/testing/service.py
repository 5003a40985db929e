"""A service without an engine: what protocol and server tests talk to.

    service = FakeService()                                   # echoes the last message, word by word
    service = FakeService(script=[Admitted(…), 0.5, TextDelta("Hi"), QueueFull("full")])

A script's items are events, seconds to wait, and exceptions: one of the tree becomes ``Failed``, any other is
raised as a broken service would. It may be a function of the request. ``requests`` keeps what was asked,
``num_running`` and ``num_cancelled`` say what became of it. With Litestar's test clients, whose Host is
``testserver.local``, build the app with ``ServerSettings(allow_hosts=("testserver.local",))``.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TypeAlias

import msgspec

from jackfield.errors import JackfieldError, NotFound, RequestError, Unavailable
from jackfield.service.contract import Embedding, Relevance, RenderedPrompt, TokenizedText
from jackfield.service.events import (
    Admitted,
    DryRun,
    Event,
    Failed,
    Finished,
    TextDelta,
    ThinkingDelta,
    Timings,
    Usage,
)
from jackfield.service.requests import GenerationRequest, Message, ToolDefinition
from jackfield.service.status import EngineState, ModelInfo, ServiceStatus

__all__ = ["FakeService", "ScriptItem", "make_model"]

ScriptItem: TypeAlias = "Event | float | Exception"
Script: TypeAlias = "Iterable[ScriptItem] | Callable[[GenerationRequest], Iterable[ScriptItem]]"
MILLISECOND_NS = 1_000_000


def make_model(
    file: str = "echo-tiny.gguf", *, capabilities: Iterable[str] = ("completion", "tools")
) -> ModelInfo:
    """Return a plausible description of a small model."""
    return ModelInfo(
        file=file,
        name=file.removesuffix(".gguf"),
        architecture="qwen3",
        size_bytes=123_456,
        modified_unix_s=1_780_000_000.0,
        digest=hashlib.sha256(file.encode()).hexdigest(),
        context_length=4096,
        trained_context_length=8192,
        embedding_length=64,
        num_parameters=1_000_000,
        quantization="Q8_0",
        vocab_size=256,
        backend="null",
        chat_template="{{ messages }}",
        chat_format="plain",
        capabilities=list(capabilities),
        metadata={"general.architecture": "qwen3", "qwen3.context_length": 8192},
        tensors=[("token_embd.weight", "Q8_0", [256, 64])],
        load_ns=5 * MILLISECOND_NS,
    )


class FakeService:
    """Satisfies ``jackfield.service.contract.Service``.

    Args:
        model: What is hosted; a small model called ``echo-tiny.gguf`` by default.
        script: What every generation answers; the echo by default.
        delay_s: Pause before each event of the echo.
        models: File names ``load`` accepts, beside the hosted one.
        load_error: Raised by ``load``.
        hosted: ``False`` for a service that has no model.
    """

    def __init__(
        self,
        model: ModelInfo | None = None,
        *,
        script: Script | None = None,
        delay_s: float = 0.0,
        models: Iterable[str] = (),
        load_error: JackfieldError | None = None,
        hosted: bool = True,
    ) -> None:
        self.model = (model or make_model()) if hosted else None
        self.script = script
        self.delay_s = delay_s
        self.models = list(models)
        self.load_error = load_error
        self.state: EngineState = "ready"
        self.heartbeat_age_s = 0.0
        self.requests: list[GenerationRequest] = []
        self.num_running = 0
        self.num_waiting = 0
        self.num_processed = 0
        self.num_cancelled = 0
        self.num_starts = 0
        self.num_stops = 0
        self._sessions: dict[str, str] = {}
        self._ending = asyncio.Event()

    # ---- life ----

    async def start(self) -> None:
        """Become ready."""
        self.num_starts += 1
        self.state = "ready"

    async def stop(self, drain_s: float) -> None:
        """Refuse new requests, wait for running ones, then fail them."""
        self.num_stops += 1
        self.state = "stopped"
        try:
            async with asyncio.timeout(drain_s):
                while self.num_running:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self._ending.set()

    # ---- generating ----

    async def generate(self, request: GenerationRequest) -> AsyncIterator[Event]:
        """Play the script; count how it ended."""
        self.requests.append(request)
        if self.state != "ready":
            yield Failed(Unavailable("the server is shutting down", retry_after_s=5).to_record())
            return
        try:
            self.resolve_model(request.model)
        except JackfieldError as error:
            yield Failed(error.to_record())
            return
        self.num_running += 1
        is_whole = False
        try:
            for item in self._items(request):
                event = await self._event_of(item)
                if event is not None:
                    is_whole = isinstance(event, Finished | Failed)
                    yield event
                if isinstance(event, Failed):
                    return
        finally:
            self.num_running -= 1
            self.num_processed += 1
            self.num_cancelled += not is_whole

    def _items(self, request: GenerationRequest) -> Iterable[ScriptItem]:
        if request.dry_run:
            return self._preview(request)
        if self.script is None:
            return self._echo(request)
        return self.script(request) if callable(self.script) else self.script

    async def _event_of(self, item: ScriptItem) -> Event | None:
        if isinstance(item, JackfieldError):
            return Failed(item.to_record())
        if isinstance(item, Exception):
            raise item
        if isinstance(item, int | float):
            try:
                async with asyncio.timeout(item):
                    await self._ending.wait()
            except TimeoutError:
                return None
            return Failed(Unavailable("the server is shutting down").to_record())
        return item

    def _preview(self, request: GenerationRequest) -> Iterator[ScriptItem]:
        """Answer ``dry_run``: a prompt of one line for each message, half of which is cached."""
        lines = [f"{message.role}: {message.content}\n" for message in request.messages or []]
        prompt = "".join(lines) or request.prompt or ""
        max_tokens = 4000 if request.sampling.max_tokens is None else request.sampling.max_tokens
        file = self.model.file if self.model else ""
        preview = DryRun(
            model=file,
            prompt=prompt,
            prompt_tokens=len(prompt),
            cached_tokens=0 if request.reset_session else len(prompt) // 2,
            cache_note="",
            context_length=4096,
            max_tokens=max_tokens,
            think=request.think or False,
            thinking_budget=request.thinking_budget or 0,
            num_choices=request.num_choices,
            constraint=request.constraint.kind if request.constraint else None,
            tools=[tool.name for tool in request.tools],
            parameters=msgspec.structs.asdict(request.sampling),
        )
        yield Admitted(file, len(prompt), preview.cached_tokens, max_tokens, dry_run=preview)
        for choice in range(request.num_choices):
            yield Finished("stop", Usage(len(prompt), 0, 0), Timings(0, 0, 0, 0, 0), choice)

    def _echo(self, request: GenerationRequest) -> Iterator[ScriptItem]:
        """Answer with the words of the last message or of the prompt, one event each."""
        text = request.messages[-1].content if request.messages else request.prompt or ""
        words = text.split(" ")
        limit = len(words) if request.sampling.max_tokens is None else request.sampling.max_tokens
        prompt_tokens = sum(len(m.content) for m in request.messages or []) + len(request.prompt or "") + 1
        yield Admitted(self.model.file if self.model else "", prompt_tokens, 0, limit)
        for choice in range(request.num_choices):
            if request.think:
                yield self.delay_s
                yield ThinkingDelta("hm", choice=choice)
            for index, word in enumerate(words[:limit]):
                yield self.delay_s
                yield TextDelta(word if index == 0 else f" {word}", choice=choice)
            yield Finished(
                "stop" if len(words) <= limit else "length",
                Usage(prompt_tokens, 0, min(len(words), limit), 1 if request.think else 0),
                Timings(10 * MILLISECOND_NS, 0, 0, 4 * MILLISECOND_NS, 6 * MILLISECOND_NS),
                choice=choice,
            )

    # ---- the rest of the contract ----

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> TokenizedText:
        """Take bytes for tokens."""
        data = text.encode("utf-8")
        return TokenizedText(list(data), [bytes([value]) for value in data])

    async def detokenize(self, tokens: list[int]) -> str:
        """Take tokens for bytes."""
        if any(not 0 <= token < 256 for token in tokens):
            raise RequestError("a token id is outside the vocabulary of 256", param="tokens")
        return bytes(tokens).decode("utf-8", errors="replace")

    async def render(
        self, messages: list[Message], tools: list[ToolDefinition], *, think: bool | str | None = None
    ) -> RenderedPrompt:
        """Write one line for each message."""
        text = "".join(f"{message.role}: {message.content}\n" for message in messages)
        return RenderedPrompt(text, len(text.encode("utf-8")))

    async def embed(self, inputs: list[str] | list[list[int]], *, truncate: bool) -> list[Embedding]:
        """Return a unit vector that depends on the input's length."""
        return [Embedding([1.0, 0.0] if len(one) % 2 else [0.0, 1.0], len(one)) for one in inputs]

    async def rank(self, query: str, documents: list[str]) -> list[Relevance]:
        """Call the documents the nearer, the more of their words are the query's."""
        wanted = set(query.split())
        return [
            Relevance(len(wanted & set(text.split())) / max(1, len(wanted)), len(text)) for text in documents
        ]

    async def load(self, model: str, backend: str | None = None, projector: str | None = None) -> ModelInfo:
        """Host another of ``models``, or raise ``load_error``."""
        await asyncio.sleep(self.delay_s)
        if self.load_error is not None:
            raise self.load_error
        if model not in self.available_models():
            raise NotFound(f"model {model!r} is not hosted here")
        self.model = make_model(model)
        return self.model

    def status(self) -> ServiceStatus:
        """Return the counters of this moment."""
        return ServiceStatus(
            state=self.state,
            model=self.model,
            heartbeat_age_s=self.heartbeat_age_s,
            num_running=self.num_running,
            num_waiting=self.num_waiting,
            num_processed=self.num_processed,
        )

    def resolve_model(self, name: str) -> ModelInfo:
        """Match by file name or bare name, any case, with or without ``:latest``."""
        wanted = name.strip().lower().removesuffix(":latest")
        if not wanted:
            raise RequestError("model is required", param="model")
        if self.model is None:
            raise Unavailable("no model is loaded")
        if wanted not in (self.model.file.lower(), self.model.name.lower()):
            raise NotFound(f"model {name!r} not found", code="model_not_found", param="model")
        return self.model

    def available_models(self) -> list[str]:
        """Return the hosted file and the others."""
        return list(dict.fromkeys([*([self.model.file] if self.model else []), *self.models]))

    def create_session(self, owner: str) -> str:
        """Remember a fresh id."""
        session_id = secrets.token_hex(16)
        self._sessions[session_id] = owner
        return session_id

    async def delete_session(self, session_id: str, owner: str) -> None:
        """Forget an id of that owner."""
        if not self.has_session(session_id, owner):
            raise NotFound(f"no session {session_id!r}")
        del self._sessions[session_id]

    def has_session(self, session_id: str, owner: str) -> bool:
        """Tell whether that owner made that id."""
        return self._sessions.get(session_id) == owner
