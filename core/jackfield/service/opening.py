"""From a configuration to a model that answers: the one place where all its parts meet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jackfield.backend import Executable, Limits, MemoryEstimate, OpenProgress
from jackfield.descriptors import ChatFormatDescriptor, SamplerDescriptor
from jackfield.engine import Engine
from jackfield.engine.drafting import PromptLookup
from jackfield.engine.loading import build_program, choose_backend
from jackfield.errors import CheckpointError, PluginImportError, UnknownName
from jackfield.gguf import Checkpoint, open_checkpoint
from jackfield.host import Host
from jackfield.program import Program
from jackfield.service.budget import plan_limits
from jackfield.service.catalogue import (
    capabilities_of,
    digest_of,
    metadata_of,
    parameters_of,
    pooling_of,
    quantization_of,
    tensors_of,
)
from jackfield.service.config import EngineConfig
from jackfield.service.file_watch import FileWatch
from jackfield.service.hosting import HostedModel
from jackfield.service.memory import available_memory_bytes
from jackfield.service.status import ModelInfo
from jackfield.text import ChatTemplate, TemplateRenderer
from jackfield.text.contract import ChatFormat, Tokenizer

__all__ = ["ModelOpener", "open_model"]

ModelOpener = Callable[[EngineConfig, Host, OpenProgress | None], HostedModel]
TEMPLATE_KEY = "tokenizer.chat_template"


@dataclass(frozen=True)
class _Opened:
    """A program on a backend."""

    program: Program
    limits: Limits
    backend: str
    resident_bytes: int
    executable: Executable


def open_model(config: EngineConfig, host: Host, progress: OpenProgress | None = None) -> HostedModel:
    """Open the configured checkpoint and put an engine around it; the engine is not started.

    Raises:
        CheckpointError: The file is damaged, or not what its architecture or tokenizer needs.
        UnknownName: The backend or the chat format that was asked for is not installed.
        BackendError: No backend can run it, or memory is short.
    """
    started_ns = time.monotonic_ns()
    with ExitStack() as undo:
        checkpoint = undo.enter_context(open_checkpoint(config.model))
        watch = FileWatch(checkpoint.paths)
        tokenizer = _tokenizer(checkpoint, host)
        format_descriptor = _format_descriptor(config, host, checkpoint)
        chat_format: ChatFormat = format_descriptor.make()
        renderer = undo.enter_context(TemplateRenderer())
        renderer.prewarm()
        opened = _open_program(config, host, checkpoint, progress)
        undo.callback(opened.executable.close)
        template = ChatTemplate.of(
            checkpoint.metadata, tokenizer, chat_format, renderer, config.chat_template
        )
        info = _info(checkpoint, opened, tokenizer, chat_format, template, format_descriptor.name, started_ns)
        engine = Engine(
            opened.executable,
            opened.limits,
            vocab_size=opened.program.vocab_size,
            context_length=opened.limits.max_context,
            is_recurrent=opened.program.is_recurrent,
            diffusion=opened.program.diffusion,
            samplers=_samplers(host),
            make_drafter=PromptLookup if config.speculation == "auto" else None,
            vocabulary=tokenizer,
        )
        release = undo.pop_all()
    model = HostedModel(info, tokenizer, chat_format, template, engine, release.close, watch.damage)
    model.grammars.prewarm()
    return model


def _samplers(host: Host) -> list[SamplerDescriptor]:
    """Return those whose code can be imported: one that cannot would fail every request."""
    usable: list[SamplerDescriptor] = []
    for descriptor in host.samplers():
        try:
            descriptor.load()
        except PluginImportError as error:
            host.leave_out("sampler", descriptor, error)
        else:
            usable.append(descriptor)
    return usable


def _tokenizer(checkpoint: Checkpoint, host: Host) -> Tokenizer:
    key = "tokenizer.ggml.model"
    try:
        descriptor = host.tokenizer(checkpoint.metadata.text(key))
    except UnknownName as error:
        raise CheckpointError(f"{checkpoint.path.name!r}: {error.message}", param=key) from error
    tokenizer: Tokenizer = descriptor.make(checkpoint.metadata)
    return tokenizer


def _format_descriptor(config: EngineConfig, host: Host, checkpoint: Checkpoint) -> ChatFormatDescriptor:
    if config.chat_format is not None:
        return host.chat_format(config.chat_format)
    own = checkpoint.metadata.text(TEMPLATE_KEY, "")
    return host.chat_format_for(config.chat_template or own, checkpoint.architecture)


def _open_program(
    config: EngineConfig, host: Host, checkpoint: Checkpoint, progress: OpenProgress | None
) -> _Opened:
    program = build_program(checkpoint, host)
    name, backend = choose_backend(host, config.backend, program, checkpoint.tensors)

    def estimate(limits: Limits) -> MemoryEstimate:
        return backend.estimate(program, checkpoint.tensors, limits)

    limits = plan_limits(
        program,
        config,
        config.threads or _num_cores(),
        estimate,
        available_memory_bytes(),
    )
    resident_bytes = estimate(limits).resident_bytes
    settled = program.for_context(limits.max_context)
    executable = backend.open(settled, checkpoint.tensors, limits, progress)
    return _Opened(settled, limits, name, resident_bytes, executable)


def _num_cores() -> int:
    """Return the cores this process may use, which in a container are fewer than the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _info(
    checkpoint: Checkpoint,
    opened: _Opened,
    tokenizer: Tokenizer,
    chat_format: ChatFormat,
    template: ChatTemplate,
    format_name: str,
    started_ns: int,
) -> ModelInfo:
    path: Path = checkpoint.path
    pooling = pooling_of(checkpoint)
    diffusion = opened.program.diffusion
    return ModelInfo(
        file=path.name,
        name=path.name.removesuffix(".gguf"),
        architecture=checkpoint.architecture,
        size_bytes=checkpoint.size_bytes,
        modified_unix_s=path.stat().st_mtime,
        digest=digest_of(checkpoint.paths),
        context_length=opened.limits.max_context,
        trained_context_length=opened.program.context_length,
        embedding_length=opened.program.embedding_width,
        num_parameters=parameters_of(checkpoint),
        quantization=quantization_of(checkpoint),
        vocab_size=opened.program.vocab_size,
        backend=opened.backend,
        chat_template=template.sources.main,
        chat_format=format_name,
        capabilities=capabilities_of(
            chat_format, tokenizer, template, pooling, is_diffusion=diffusion is not None
        ),
        metadata=metadata_of(checkpoint),
        tensors=tensors_of(checkpoint),
        load_ns=time.monotonic_ns() - started_ns,
        resident_bytes=opened.resident_bytes,
        pooling=pooling,
        canvas_length=diffusion.canvas_length if diffusion is not None else None,
        num_slots=opened.limits.max_sequences,
    )
