"""Server-Sent Events, which most protocols stream. Source: WHATWG HTML, section 9.2."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["EVENT_STREAM", "SSE_COMMENT", "sse"]

EVENT_STREAM = "text/event-stream"
SSE_COMMENT = b": still working\n\n"
"""A frame that clients skip."""


def sse(value: Any, name: str = "") -> bytes:
    """Return the frame of a JSON value, under the name of its event if the protocol names events."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: ".encode() + msgspec.json.encode(value) + b"\n\n"
