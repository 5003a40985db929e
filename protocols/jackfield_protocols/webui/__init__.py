"""The bundled chat page and the SSE protocol it speaks, which other pages may speak as well."""

from __future__ import annotations

from jackfield.descriptors import ProtocolDescriptor
from jackfield.hooks import hookimpl

__all__ = ["jackfield_protocols"]


@hookimpl
def jackfield_protocols() -> list[ProtocolDescriptor]:
    """Declare the web UI."""
    return [
        ProtocolDescriptor(
            name="webui",
            summary="chat page at / and its server-sent-events API under /api",
            factory="jackfield_protocols.webui.routes:mount",
        )
    ]
