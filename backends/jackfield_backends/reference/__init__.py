"""The backend that is right: numpy, float32, dequantised weights, one obvious function an op.

Every other backend is held against it, and plugin authors debug with it. It never optimises.
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.descriptors import BackendDescriptor
from jackfield.hooks import hookimpl

__all__ = ["jackfield_backends"]


@hookimpl
def jackfield_backends() -> Sequence[BackendDescriptor]:
    """Declare the backend; never chosen unasked, for it takes four bytes a weight."""
    return [
        BackendDescriptor(
            name="reference",
            summary="numpy, float32, obvious: the oracle of every test; slow",
            factory="jackfield_backends.reference.backend:ReferenceBackend",
            preference=-1,
        )
    ]
