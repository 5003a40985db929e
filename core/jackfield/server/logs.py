"""Log lines: one event, one line, with the request's id; as text or as JSON."""

from __future__ import annotations

import logging
import re
import sys
import time

import msgspec

from jackfield.server.request_id import current_request_id

__all__ = ["configure_logging"]

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure_logging(*, level: str = "INFO", json_lines: bool = False) -> None:
    """Send the records of ``jackfield`` and ``uvicorn`` to standard error, in one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if json_lines else _TextLines())
    for name in ("jackfield", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel("WARNING")


class _TextLines(logging.Formatter):
    """``time level [request] logger: message``; a traceback follows on lines of its own, indented."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        head = f"{stamp} {record.levelname.lower():7} [{current_request_id.get()}] {record.name}: "
        line = head + _one_line(record.getMessage())
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line += "".join(f"\n    {_one_line(part)}" for part in trace)
        return line


class _JsonLines(logging.Formatter):
    """The same fields as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "request_id": current_request_id.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode("utf-8")


def _one_line(text: str) -> str:
    """Write control characters and line separators out, so that no text can pose as another line."""
    return UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
