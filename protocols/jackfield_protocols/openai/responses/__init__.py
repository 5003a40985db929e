"""OpenAI's Responses protocol: answers made of items, kept for the next turn."""

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
            name="responses",
            summary="OpenAI: /v1/responses, kept in memory for previous_response_id",
            factory="jackfield_protocols.openai.responses.routes:mount",
        )
    ]
