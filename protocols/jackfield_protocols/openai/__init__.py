"""The OpenAI protocol: chat completions, completions, embeddings, models."""

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
            name="openai",
            summary="OpenAI: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models",
            factory="jackfield_protocols.openai.routes:mount",
        )
    ]
