"""Beside the engine: takes requests, lets each become a stream of events, and answers small questions."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from jackfield.errors import ContextOverflow, JackfieldError, RequestError, TooLarge, Unavailable
from jackfield.service.admission import Admission
from jackfield.service.buffer import EventBuffer
from jackfield.service.config import EngineConfig
from jackfield.service.contract import Embedding, RenderedPrompt, TokenizedText
from jackfield.service.events import Failed
from jackfield.service.generation import Generation
from jackfield.service.history import TokenHistory
from jackfield.service.hosting import HostedModel
from jackfield.service.prompting import make_prompt
from jackfield.service.requests import GenerationRequest, Message, ToolDefinition
from jackfield.service.status import EngineLoad
from jackfield.service.validation import check_tokens

__all__ = ["Pipeline"]

NUM_PREPARERS = 4
"""Prompts prepared at once; a slow template holds up at most itself and, when all are slow, those behind."""

MAX_EMBED_INPUTS = 2048
POLL_S = 0.02


class Pipeline:
    """A hosted model at work. Every method is safe from any thread; none but ``submit`` returns at once.

    Args:
        model: Owned from here on: ``close`` stops its engine and releases it.
    """

    def __init__(self, model: HostedModel, config: EngineConfig) -> None:
        self.model = model
        self._config = config
        self._history = TokenHistory()
        self._admission = Admission(config.queue_limit, config.queue_limit_per_key)
        self._preparers = ThreadPoolExecutor(NUM_PREPARERS, thread_name_prefix="jackfield-prepare")
        self._serials = itertools.count()
        self._running: set[Generation] = set()
        self._lock = threading.Lock()
        self._is_draining = False

    def start(self) -> None:
        """Start the engine."""
        self.model.engine.start()

    # ---- generating ----

    def submit(self, request: GenerationRequest, buffer: EventBuffer) -> Generation | None:
        """Begin a request; all that becomes of it goes to the buffer. ``None`` when it is refused at once."""
        try:
            self._refuse_while_draining()
            self._admission.enter(request.priority_key)
        except JackfieldError as error:
            buffer.put(Failed(error.to_record()), is_last=True)
            return None
        generation = Generation(
            next(self._serials),
            request,
            self.model,
            self._config,
            self._history,
            buffer,
            on_admitted=lambda: self._admission.leave(request.priority_key),
            on_over=lambda: self._forget(generation),
        )
        with self._lock:
            self._running.add(generation)
        self._preparers.submit(generation.run)
        return generation

    def forget_session(self, session_id: str) -> None:
        """Cancel what runs in a session and let go of its pages."""
        with self._lock:
            running = [run for run in self._running if run.request.session_id == session_id]
        for generation in running:
            generation.cancel()
        self.model.engine.forget_session(session_id)

    def _refuse_while_draining(self) -> None:
        if self._is_draining:
            raise Unavailable("the server is shutting down; try again later", retry_after_s=10)

    def _forget(self, generation: Generation) -> None:
        with self._lock:
            self._running.discard(generation)

    # ---- questions ----

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> TokenizedText:
        """Turn text into ids and their bytes."""
        tokenizer = self.model.tokenizer
        tokens = tokenizer.encode(text, add_special=add_special, parse_special=parse_special)
        return TokenizedText(tokens, [tokenizer.piece(token) for token in tokens])

    def detokenize(self, tokens: list[int]) -> str:
        """Turn ids into text."""
        check_tokens(tokens, self.model.tokenizer.vocab_size, "tokens")
        return b"".join(self.model.tokenizer.piece(token) for token in tokens).decode("utf-8", "replace")

    def render(
        self, messages: list[Message], tools: list[ToolDefinition], think: bool | str | None
    ) -> RenderedPrompt:
        """Render a conversation as a generation would."""
        can_think = "thinking" in self.model.info.capabilities
        resolved = (self._config.default_think if think is None else think) if can_think else False
        request = GenerationRequest("render", "render", self.model.info.file, messages=messages, tools=tools)
        prompt = make_prompt(request, self.model, think=resolved, history=None, may_overflow=True)
        return RenderedPrompt(prompt.text, len(prompt.tokens))

    def embed(self, inputs: list[str] | list[list[int]], *, truncate: bool) -> list[Embedding]:
        """Pool each input's hidden rows into a unit vector."""
        if len(inputs) > MAX_EMBED_INPUTS:
            raise TooLarge(
                f"input has {len(inputs)} entries, at most {MAX_EMBED_INPUTS} are allowed", param="input"
            )
        prompts = [self._embed_prompt(item, truncate) for item in inputs]
        pending = [self.model.engine.embed(prompt) for prompt in prompts]
        return [
            Embedding(future.result().tolist(), len(prompt))
            for future, prompt in zip(pending, prompts, strict=True)
        ]

    def _embed_prompt(self, item: str | list[int], truncate: bool) -> list[int]:
        tokenizer, limit = self.model.tokenizer, self.model.info.context_length
        if isinstance(item, str):
            tokens = tokenizer.encode(item, add_special=True)
        else:
            check_tokens(item, tokenizer.vocab_size, "input")
            tokens = item
        if not tokens:
            raise RequestError("an input is empty; give at least one token", param="input")
        if len(tokens) > limit and not truncate:
            raise ContextOverflow(
                f"an input has {len(tokens)} tokens, the context holds {limit}; shorten it or set truncate",
                param="input",
                numbers={"n_prompt": len(tokens), "n_ctx": limit},
            )
        return tokens[:limit]

    # ---- state and end ----

    def load_now(self) -> EngineLoad:
        """Return what the engine is busy with."""
        stats = self.model.engine.stats()
        return EngineLoad(
            num_running=stats.num_running,
            num_waiting=self._admission.num_waiting,
            num_free_pages=stats.num_free_pages,
            num_pages=stats.num_pages,
            num_cached_tokens=stats.num_cached_tokens,
        )

    def drain(self, within_s: float) -> None:
        """Refuse new requests, wait for the running ones, then end what is left with an error."""
        self._is_draining = True
        deadline = time.monotonic() + within_s
        while self._running and time.monotonic() < deadline:
            time.sleep(POLL_S)
        with self._lock:
            left = list(self._running)
        for generation in left:
            generation.broke(
                Unavailable("the server shut down before the answer was complete", retry_after_s=10)
            )

    def close(self) -> None:
        """End everything now and release the model."""
        self.drain(0.0)
        self._preparers.shutdown(wait=True, cancel_futures=True)
        self.model.engine.stop()
        self.model.close()
