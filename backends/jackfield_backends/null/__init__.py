"""The backend without arithmetic: it says its prompt again. For tests of protocols and of load.

The k-th token it picks for a sequence is the k-th token of that sequence's prompt, and after the last
one the first again. So a test knows the answer from the question, an end-of-generation token in the prompt's
template ends the answer, and everything around the arithmetic (pages, prefix reuse, batches) is real.
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.descriptors import BackendDescriptor
from jackfield.hooks import hookimpl

__all__ = ["jackfield_backends"]


@hookimpl
def jackfield_backends() -> Sequence[BackendDescriptor]:
    """Declare the backend; never chosen unasked."""
    return [
        BackendDescriptor(
            name="null",
            summary="no arithmetic: repeats the prompt; for tests of protocols and of load",
            factory="jackfield_backends.null.backend:NullBackend",
            preference=-1,
        )
    ]
