"""How an engine is set up: what the command line, a library user and a child process all pass on."""

from __future__ import annotations

from pathlib import Path

import msgspec

from jackfield.errors import ConfigError, did_you_mean
from jackfield.service.requests import ThinkLevel

__all__ = ["DEFAULT_CONTEXT_LENGTH", "KV_TYPES", "SPECULATIONS", "EngineConfig"]

DEFAULT_CONTEXT_LENGTH = 8192
"""Context of a model that was trained for at least as much, when none is asked for."""

KV_TYPES = ("f16", "f32", "q8_0")
SPECULATIONS = ("auto", "off")


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Everything an engine needs to know; plain data, so that it can cross to a child process.

    Attributes:
        model: Path of the GGUF file; empty to start without a model and wait for a load.
        models: Further files that may be loaded while serving, by their file names.
        model_dir: Folder whose ``.gguf`` files may be loaded as well.
        backend: A backend's name, or ``auto`` for the available one of highest preference.
        threads: Threads the backend may use; ``None`` for one a core.
        context_length: Most tokens of one sequence. ``None`` takes what the model was trained for, at most
            ``DEFAULT_CONTEXT_LENGTH``, and shrinks to what memory allows; a number is kept or refused.
        kv_type: How keys and values are stored: ``f16``, ``f32`` or ``q8_0``.
        speculation: ``auto`` guesses tokens from the sequence's own text and verifies several in a step where
            that is faster; ``off`` picks one token a step.
        max_sequences: Most sequences that run at once.
        cache_tokens: Tokens whose keys and values are kept, all sequences and cached prefixes together;
            ``None`` takes what the batch needs and memory allows.
        page_size: Tokens of a page of keys and values; a multiple of 16.
        max_rows: Most token rows of one step, so also the size of a prefill chunk.
        memory_reserve: Bytes of memory that are left to the rest of the system.
        chat_format: Name of the chat format, instead of the one that fits the template.
        chat_template: Template source, instead of the model's own.
        default_think: What a request without ``think`` gets.
        answer_reserve: Tokens kept for the answer when a request thinks; at most a third of its limit.
        splice: Put the tokens that were generated back into later prompts, reasoning included, instead of what
            the template makes of their text.
        seed: Seed of requests that name none; ``None`` draws one each.
        queue_limit: Most requests that wait. ``queue_limit_per_key``: of these, with one API key.
        stream_buffer_bytes: Events a stream may have unread before it fails.
        start_timeout_s: Longest a child process may take to load its model.
        plugins: Names of the plugins the engine's process loads; all when ``None``.
    """

    model: str = ""
    models: list[str] = []
    model_dir: str | None = None
    backend: str = "auto"
    threads: int | None = None
    context_length: int | None = None
    kv_type: str = "f16"
    speculation: str = "auto"
    max_sequences: int = 16
    cache_tokens: int | None = None
    page_size: int = 32
    max_rows: int = 512
    memory_reserve: int = 512 << 20
    chat_format: str | None = None
    chat_template: str | None = None
    default_think: bool | ThinkLevel = False
    answer_reserve: int = 1024
    splice: bool = True
    seed: int | None = None
    queue_limit: int = 64
    queue_limit_per_key: int = 8
    stream_buffer_bytes: int = 1 << 20
    start_timeout_s: float = 600.0
    plugins: list[str] | None = None

    def check(self) -> None:
        """Refuse values no engine can be built from.

        Raises:
            ConfigError: Names the field, the value and what is allowed.
        """
        for name, known in _CHOICES.items():
            chosen: str = getattr(self, name)
            if chosen not in known:
                raise ConfigError(
                    f"{name} is {chosen!r}, expected one of {', '.join(known)}.{did_you_mean(chosen, known)}"
                )
        if self.page_size < 16 or self.page_size % 16:
            raise ConfigError(f"page_size is {self.page_size!r}, expected a multiple of 16")
        if self.model_dir is not None and not Path(self.model_dir).is_dir():
            raise ConfigError(f"model_dir is {self.model_dir!r}, expected a folder of GGUF files")
        for name, least in _LEAST.items():
            value: int | None = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value!r}, expected at least {least}")
        if self.threads is not None and self.threads > MOST_THREADS:
            raise ConfigError(
                f"threads is {self.threads!r}, expected at most {MOST_THREADS}; best are as many as there are cores"
            )

    def with_model(self, model: str, backend: str | None) -> EngineConfig:
        """Return the same set-up for another file, and another backend if one is named."""
        return msgspec.structs.replace(self, model=model, backend=backend or self.backend)

    def loadable(self) -> dict[str, Path]:
        """Return the files ``load`` accepts by name: the first of a name wins."""
        paths = [Path(path) for path in (self.model, *self.models) if path]
        if self.model_dir is not None:
            paths += sorted(Path(self.model_dir).glob("*.gguf"))
        found: dict[str, Path] = {}
        for path in paths:
            found.setdefault(path.name, path)
        return found


_CHOICES = {"kv_type": KV_TYPES, "speculation": SPECULATIONS}

MOST_THREADS = 1024  # every one waits for all others after each op
_LEAST = {
    "threads": 1,
    "context_length": 16,
    "max_sequences": 1,
    "cache_tokens": 16,
    "max_rows": 16,
    "memory_reserve": 0,
    "answer_reserve": 1,
    "queue_limit": 1,
    "queue_limit_per_key": 1,
    "stream_buffer_bytes": 4096,
}
