# mypy: disable-error-code="empty-body"
# pyright: reportReturnType=false
"""The hooks, in the order the host calls them. This screen is the whole plugin interface.

Collecting hooks gather the answers of every plugin; two answers of one name are an error.
Observing hooks return nothing; an exception in one is logged with the plugin's name and does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from jackfield.descriptors import (
        ArchitectureDescriptor,
        BackendDescriptor,
        ChatFormatDescriptor,
        ModelDescriptor,
        OpDescriptor,
        ProtocolDescriptor,
        SamplerDescriptor,
        TokenizerDescriptor,
    )
    from jackfield.service.events import Event
    from jackfield.service.requests import GenerationRequest
    from jackfield.service.status import ModelInfo

__all__ = ["PROJECT", "hookimpl"]

PROJECT = "jackfield"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# ---- start-up: what exists -----------------------------------------------------------------------


@hookspec
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the model architectures this plugin can run.

    Collecting; called once per host, before any checkpoint is opened. The name is the file's
    ``general.architecture``; the factory turns a ``Checkpoint`` into a ``Program`` and is imported only
    when a checkpoint asks for it. Since 0.1. Example: ``jackfield_plugins.architectures.llama``.
    """


@hookspec
def jackfield_ops() -> Sequence[OpDescriptor]:
    """Declare operations that the core's vocabulary lacks.

    Collecting; called once per host. Each brings its numpy meaning, and native kernels for the
    backends it wants to be fast on. Since 0.1. Example: ``jackfield_plugins.architectures.mistral3``.
    """


@hookspec
def jackfield_backends() -> Sequence[BackendDescriptor]:
    """Declare the ways this plugin can compute a program.

    Collecting; called once per host. The factory is imported only when ``--backend`` names it or
    ``auto`` considers it. Since 0.1. Example: ``jackfield_backends.reference``.
    """


@hookspec
def jackfield_tokenizers() -> Sequence[TokenizerDescriptor]:
    """Declare tokenizer algorithms by their ``tokenizer.ggml.model`` name.

    Collecting; called once per host. Since 0.1. Example: ``jackfield_plugins.tokenizers.gpt2``.
    """


@hookspec
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare how model families write thinking and tool calls.

    Collecting; called once per host. The fitting format of highest priority is used; ``--chat-format``
    forces one. Since 0.1. Example: ``jackfield_plugins.formats.hermes``.
    """


@hookspec
def jackfield_samplers() -> Sequence[SamplerDescriptor]:
    """Declare sampling stages beyond penalties, temperature, top-k, top-p and min-p.

    Collecting; called once per host. A factory returns ``None`` for requests that do not use its
    stage. Since 0.1. Example: ``jackfield_plugins.samplers.mirostat``.
    """


@hookspec
def jackfield_protocols() -> Sequence[ProtocolDescriptor]:
    """Declare HTTP protocols to mount on the server's rail.

    Collecting; called once when the server starts. Routes inherit the rail's authentication, limits
    and guards. Since 0.1. Example: ``jackfield_protocols.ollama``.
    """


@hookspec
def jackfield_models() -> Sequence[ModelDescriptor]:
    """Declare model files that this plugin's package brings along.

    Collecting; called once per host. ``--model`` may give a name instead of a file; with no ``--model`` the
    one of highest preference is served. Since 0.1. Example: ``jackfield_plugins.demo``.
    """


# ---- while serving: what happens -----------------------------------------------------------------


@hookspec
def jackfield_engine_started(model: ModelInfo) -> None:
    """Observe that an engine has loaded a model and answers.

    Observing; called in the server's process after each load and each restart. Since 0.1.
    Example: ``jackfield_plugins.observers.request_log``.
    """


@hookspec
def jackfield_engine_stopped(reason: str) -> None:
    """Observe that the engine has stopped, on purpose or not.

    Observing; called in the server's process. ``reason`` is one sentence. Since 0.1.
    Example: ``jackfield_plugins.observers.request_log``.
    """


@hookspec
def jackfield_request_admitted(request: GenerationRequest) -> None:
    """Observe a request that passed every check and joined the queue.

    Observing; called once per request, in the server's process, from the event loop: return quickly.
    Since 0.1. Example: ``jackfield_plugins.observers.request_log``.
    """


@hookspec
def jackfield_event_emitted(request: GenerationRequest, event: Event) -> None:
    """Observe an event on its way to the client.

    Observing; called for each event of each request, from the event loop: return quickly. Since 0.1.
    Example: ``jackfield_plugins.observers.request_log``.
    """
