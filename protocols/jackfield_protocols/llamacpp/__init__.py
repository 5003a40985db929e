"""The llama-server protocol: completion, infill, rerank, and what clients probe for."""

from __future__ import annotations

from collections.abc import Sequence

from jackfield import hookimpl
from jackfield.descriptors import ProtocolDescriptor

__all__ = ["jackfield_protocols"]


@hookimpl
def jackfield_protocols() -> Sequence[ProtocolDescriptor]:
    """Declare the protocol."""
    return [
        ProtocolDescriptor(
            name="llamacpp",
            summary="llama-server: /completion, /infill, /rerank, /tokenize, /detokenize, /apply-template,"
            " /props, /slots",
            factory="jackfield_protocols.llamacpp.routes:mount",
        )
    ]
