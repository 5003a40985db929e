"""The one exception tree.

    JackfieldError
    ├── ConfigError              a flag, an environment variable, a setting
    ├── PluginError              a plugin that cannot be used
    │   ├── DuplicateName        two plugins declare one name
    │   ├── PluginImportError    importing a plugin, or what it declares, failed
    │   └── UnknownName          nothing of that name is installed
    ├── CheckpointError          a GGUF file: damaged, hostile, or not what its architecture needs
    ├── ProgramError             an architecture built an op from shapes that do not fit
    ├── RequestError             what the client sent cannot be done
    │   ├── ContextOverflow      prompt longer than the context
    │   ├── Unsupported          the hosted model or this server cannot do it
    │   ├── Unauthenticated      no or wrong API key
    │   ├── Forbidden            refused by the Host, Origin or ownership guard
    │   ├── NotFound             no such model, session, upload or response
    │   ├── TooLarge             body, upload or prompt over its limit
    │   └── InvalidOutput        the generated text failed the validation that was asked for
    ├── CapacityError            could be done later
    │   ├── QueueFull            the server's queue is full
    │   ├── RateLimited          this key's share is used up
    │   └── Unavailable          starting, restarting or shutting down
    └── BackendError             computing failed
        ├── BackendUnavailable   the backend cannot run on this machine
        ├── OutOfMemory          more memory needed than there is
        └── NumericalError       logits that are not finite

A message is one sentence: what failed, the value, what was expected, what to do. Each protocol maps
this tree to its own wire shape in one table.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar

import msgspec

__all__ = [
    "BackendError",
    "BackendUnavailable",
    "CapacityError",
    "CheckpointError",
    "ConfigError",
    "ContextOverflow",
    "DuplicateName",
    "ErrorRecord",
    "Forbidden",
    "InvalidOutput",
    "JackfieldError",
    "NotFound",
    "NumericalError",
    "OutOfMemory",
    "PluginError",
    "PluginImportError",
    "ProgramError",
    "QueueFull",
    "RateLimited",
    "RequestError",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UnknownName",
    "Unsupported",
    "did_you_mean",
]


class ErrorRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it crosses a process border: the class's name and what it carried."""

    kind: str
    message: str
    code: str
    param: str | None = None
    details: list[str] = []
    numbers: dict[str, int] = {}
    retry_after_s: int | None = None


class JackfieldError(Exception):
    """Base of every error that Jackfield raises on purpose.

    Args:
        message: One sentence a user can act on.
        code: Stable short word for programs; the class's own by default.
        param: The request field or metadata key at fault, as the user spelt it.
        details: Further findings, one sentence each.
        numbers: Figures a client may want as numbers, such as ``n_ctx``.
        retry_after_s: When trying again makes sense.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        details: Iterable[str] = (),
        numbers: Mapping[str, int] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or type(self).code
        self.param = param
        self.details = list(details)
        self.numbers = dict(numbers or {})
        self.retry_after_s = retry_after_s

    def to_record(self) -> ErrorRecord:
        """Return the error as a plain message for another process."""
        return ErrorRecord(
            kind=type(self).__name__,
            message=self.message,
            code=self.error_code,
            param=self.param,
            details=self.details,
            numbers=self.numbers,
            retry_after_s=self.retry_after_s,
        )

    @staticmethod
    def from_record(record: ErrorRecord) -> JackfieldError:
        """Rebuild an error of the same class; a class unknown here becomes ``JackfieldError``."""
        return _class_named(record.kind)(
            record.message,
            code=record.code,
            param=record.param,
            details=record.details,
            numbers=record.numbers,
            retry_after_s=record.retry_after_s,
        )


class ConfigError(JackfieldError):
    """A flag, an environment variable or a setting is wrong."""

    code = "config_error"


class PluginError(JackfieldError):
    """A plugin cannot be used."""

    code = "plugin_error"


class DuplicateName(PluginError):
    """Two plugins declare the same name."""


class PluginImportError(PluginError):
    """Importing a plugin, or the factory it declares, raised an exception."""


class UnknownName(PluginError):
    """No plugin declares the name that was asked for."""


class CheckpointError(JackfieldError):
    """A GGUF file is damaged, hostile, or lacks what its architecture needs."""

    code = "checkpoint_error"


class ProgramError(JackfieldError):
    """An architecture built an op from buffers or weights whose shapes do not fit."""

    code = "program_error"


class RequestError(JackfieldError):
    """What the client sent cannot be done, now or later."""

    code = "invalid_request"


class ContextOverflow(RequestError):
    """The prompt does not fit the context; ``numbers`` holds ``n_prompt`` and ``n_ctx``."""

    code = "context_length_exceeded"


class Unsupported(RequestError):
    """The hosted model or this server cannot do what was asked."""

    code = "unsupported"


class Unauthenticated(RequestError):
    """The API key is missing or wrong."""

    code = "invalid_api_key"


class Forbidden(RequestError):
    """Refused by the Host, Origin or ownership guard."""

    code = "forbidden"


class NotFound(RequestError):
    """No model, session, upload or response of that name."""

    code = "not_found"


class TooLarge(RequestError):
    """A body, an upload or a field is over its limit."""

    code = "too_large"


class InvalidOutput(RequestError):
    """The generated text failed the validation the request asked for."""

    code = "invalid_output"


class CapacityError(JackfieldError):
    """The request is fine and may succeed later; ``retry_after_s`` says when."""

    code = "overloaded"


class QueueFull(CapacityError):
    """The server's queue is full."""

    code = "queue_full"


class RateLimited(CapacityError):
    """This key already has as many requests waiting as it may have."""

    code = "rate_limited"


class Unavailable(CapacityError):
    """The engine is starting, restarting or shutting down."""

    code = "unavailable"


class BackendError(JackfieldError):
    """Computing failed."""

    code = "backend_error"


class BackendUnavailable(BackendError):
    """The backend cannot run on this machine."""

    code = "backend_unavailable"


class OutOfMemory(BackendError):
    """More memory is needed than there is; the message has the figures."""

    code = "out_of_memory"


class NumericalError(BackendError):
    """The model produced logits that are not finite."""

    code = "numerical_error"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _class_named(kind: str) -> type[JackfieldError]:
    pending: list[type[JackfieldError]] = [JackfieldError]
    while pending:
        candidate = pending.pop()
        if candidate.__name__ == kind:
            return candidate
        pending.extend(candidate.__subclasses__())
    return JackfieldError
