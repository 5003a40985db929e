"""The llama-server dialect's tools: tokenize, detokenize, apply-template, props."""

from __future__ import annotations

from collections.abc import Sequence

from jackfield import hookimpl
from jackfield.descriptors import ProtocolDescriptor

__all__ = ["jackfield_protocols"]


@hookimpl
def jackfield_protocols() -> Sequence[ProtocolDescriptor]:
    """Declare the dialect."""
    return [
        ProtocolDescriptor(
            name="llamacpp",
            summary="llama-server's tools: /tokenize, /detokenize, /apply-template, /props",
            factory="jackfield_protocols.llamacpp.routes:mount",
        )
    ]
