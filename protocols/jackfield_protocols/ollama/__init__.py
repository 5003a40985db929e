"""The Ollama protocol: generate, chat, tags, show, ps, embed, version."""

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
            name="ollama",
            summary="Ollama: /api/generate, /api/chat, /api/chat/ollama, /api/tags, /api/show, /api/embed",
            factory="jackfield_protocols.ollama.routes:mount",
        )
    ]
