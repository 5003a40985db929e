"""The Anthropic protocol: messages, and the counting of their tokens."""

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
            name="anthropic",
            summary="Anthropic: /v1/messages, /v1/messages/count_tokens",
            factory="jackfield_protocols.anthropic.routes:mount",
        )
    ]
