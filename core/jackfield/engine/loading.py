"""From a path to an opened program: the one place where checkpoint, architecture and backend meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from jackfield.backend import Backend, Executable, KvType, Limits, OpenProgress, WeightSource
from jackfield.descriptors import BackendDescriptor, plugin_code
from jackfield.errors import BackendError, BackendUnavailable, CheckpointError, PluginError, UnknownName
from jackfield.gguf import Checkpoint, open_checkpoint
from jackfield.host import Host
from jackfield.program import Program

__all__ = ["AUTO", "LoadedModel", "build_program", "choose_backend", "limits_for", "load_model"]

AUTO = "auto"


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be stepped; a context manager."""

    checkpoint: Checkpoint
    program: Program
    backend_name: str
    limits: Limits
    executable: Executable

    def close(self) -> None:
        """Stop the backend, then close the checkpoint."""
        self.executable.close()
        self.checkpoint.close()

    def __enter__(self) -> LoadedModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load_model(
    path: str | Path,
    host: Host,
    backend: str = AUTO,
    limits: Callable[[Program], Limits] | None = None,
    progress: OpenProgress | None = None,
) -> LoadedModel:
    """Open a checkpoint with the architecture it names and a backend that runs it.

    Args:
        path: A GGUF file, the first one of a split checkpoint.
        host: Where architectures, ops and backends are found.
        backend: A backend's name, or ``auto``.
        limits: Makes the limits for the program; those of ``limits_for`` by default.
        progress: Told what the backend does while it opens.

    Raises:
        CheckpointError: The file is damaged, or not what its architecture needs.
        UnknownName: No plugin has that architecture or backend.
        BackendError: No backend, or not the one named, can run it here.
    """
    checkpoint = open_checkpoint(path)
    try:
        program = build_program(checkpoint, host)
        name, chosen = choose_backend(host, backend, program, checkpoint.tensors)
        wanted = limits_for(program) if limits is None else limits(program)
        program = program.for_context(wanted.max_context)
        executable = chosen.open(program, checkpoint.tensors, wanted, progress)
    except BaseException:
        checkpoint.close()
        raise
    return LoadedModel(checkpoint, program, name, wanted, executable)


def build_program(checkpoint: Checkpoint, host: Host) -> Program:
    """Let the checkpoint's architecture write its program.

    Raises:
        CheckpointError: The architecture is not installed, or the file is not what it needs.
    """
    try:
        architecture = host.architecture(checkpoint.architecture)
    except UnknownName as error:
        raise CheckpointError(
            f"{checkpoint.path.name!r}: {error.message}", param="general.architecture"
        ) from error
    program: Program = architecture.make(checkpoint)
    return program.with_plugin_ops(host.ops())


def choose_backend(host: Host, name: str, program: Program, weights: WeightSource) -> tuple[str, Backend]:
    """Return the backend of that name, or for ``auto`` the preferred one that can run the program.

    Raises:
        UnknownName: No backend has that name.
        BackendUnavailable: This machine cannot use it, or for ``auto`` any; the message has each reason.
        BackendError: It cannot run this program.
    """
    if name != AUTO:
        return _named_backend(host.backend(name), program, weights)
    reasons: list[str] = []
    for descriptor in _by_preference(host):
        try:
            return _named_backend(descriptor, program, weights)
        except (BackendError, PluginError) as error:
            reasons.append(error.message)
    listing = "; ".join(reasons) or "none is installed"
    raise BackendUnavailable(f"no backend can run {program.architecture}: {listing}", details=reasons)


def limits_for(
    program: Program,
    context_length: int | None = None,
    *,
    num_sequences: int = 1,
    page_size: int = 32,
    max_rows: int = 512,
    num_threads: int = 1,
    kv_type: KvType = "f16",
) -> Limits:
    """Return limits with pages for ``num_sequences`` full contexts, a state slot for each, and room for a canvas.

    Args:
        context_length: Most tokens of a sequence; what the model was trained for by default.
    """
    context = context_length or program.context_length
    canvas = program.diffusion.canvas_length if program.diffusion is not None else 0
    return Limits(
        num_pages=num_sequences * -(-context // page_size),
        page_size=page_size,
        max_rows=max(max_rows, canvas),
        max_outputs=max(64, canvas),
        max_sequences=num_sequences,
        max_context=context,
        num_state_slots=num_sequences if program.is_recurrent else 0,
        num_threads=num_threads,
        kv_type=kv_type,
    )


def _by_preference(host: Host) -> list[BackendDescriptor]:
    willing = [descriptor for descriptor in host.backends() if descriptor.preference >= 0]
    return sorted(willing, key=lambda descriptor: descriptor.preference, reverse=True)


def _named_backend(
    descriptor: BackendDescriptor, program: Program, weights: WeightSource
) -> tuple[str, Backend]:
    backend: Backend = descriptor.make()
    with plugin_code(f"backend {descriptor.name!r}"):
        reason = backend.unavailable()
        lacking = None if reason else backend.cannot_run(program, weights)
    if reason is not None:
        raise BackendUnavailable(f"backend {descriptor.name!r} cannot be used here: {reason}")
    if lacking is not None:
        raise BackendError(f"backend {descriptor.name!r} cannot run {program.architecture}: {lacking}")
    return descriptor.name, backend
