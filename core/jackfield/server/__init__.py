"""The Litestar rail protocols mount on: settings, guards, limits, errors, uploads, health, metrics.

Start with ``app``: it shows how a protocol is written and what happens to a request.
"""

from __future__ import annotations

from jackfield.server.app import build_app
from jackfield.server.bodies import convert, decode_json, json_response, read_body, require_model
from jackfield.server.dry_run import answer_dry_run
from jackfield.server.errors import ErrorSurface, HttpRefusal, presentable
from jackfield.server.limits import CONVERSATION, UPLOAD
from jackfield.server.rail import Identity, ProtocolRoutes, Rail, SharedRoute
from jackfield.server.settings import BodyLimits, ServerSettings, StreamTimes, UploadLimits
from jackfield.server.sse import EVENT_STREAM, SSE_COMMENT, sse
from jackfield.server.streaming import ClientGone, Frames, collect, open_stream, while_connected

__all__ = [
    "CONVERSATION",
    "EVENT_STREAM",
    "SSE_COMMENT",
    "UPLOAD",
    "BodyLimits",
    "ClientGone",
    "ErrorSurface",
    "Frames",
    "HttpRefusal",
    "Identity",
    "ProtocolRoutes",
    "Rail",
    "ServerSettings",
    "SharedRoute",
    "StreamTimes",
    "UploadLimits",
    "answer_dry_run",
    "build_app",
    "collect",
    "convert",
    "decode_json",
    "json_response",
    "open_stream",
    "presentable",
    "read_body",
    "require_model",
    "sse",
    "while_connected",
]
