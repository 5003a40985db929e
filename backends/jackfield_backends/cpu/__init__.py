"""The cpu backend: a program becomes a table of native calls that threads walk outside the interpreter."""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.descriptors import BackendDescriptor
from jackfield.hooks import hookimpl

__all__ = ["jackfield_backends"]


@hookimpl
def jackfield_backends() -> Sequence[BackendDescriptor]:
    """Declare the backend."""
    return [
        BackendDescriptor(
            name="cpu",
            summary="numba kernels over SIMD vectors, quantised weights read in place; all cores",
            factory="jackfield_backends.cpu.backend:CpuBackend",
            preference=10,
        )
    ]
