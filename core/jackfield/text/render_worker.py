"""The process that renders chat templates: reads jobs from its input, writes replies, dies when told to.

Nothing else runs here, so that a template that loops or eats memory costs this process and no other. It
must start quickly: it imports neither numpy nor a web framework.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import jinja2
import msgspec

from jackfield.text.environment import make_environment, set_clock
from jackfield.text.rendering import READY, RenderJob, RenderReply, read_frame, write_frame

MAX_TEMPLATE_CHARS = 256 * 1024


def main(memory_limit_bytes: int, time_limit_s: float, max_output_chars: int) -> None:
    """Serve jobs until the input ends."""
    limit_memory(memory_limit_bytes)
    for name in ("SIGINT", "SIGTERM"):  # they reach the whole group: when to end is the parent's decision
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    decoder = msgspec.msgpack.Decoder(RenderJob)
    encoder = msgspec.msgpack.Encoder()
    # the template's own output must not get into the replies
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    write_frame(replies, READY)
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        with_deadline(time_limit_s)
        reply = render(decoder.decode(frame), max_output_chars)
        with_deadline(0)
        write_frame(replies, encoder.encode(reply))


def limit_memory(limit_bytes: int) -> None:
    """Refuse to grow past the limit, where the operating system can."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def with_deadline(seconds: float) -> None:
    """End this process after so many seconds, 0 for never; the parent may be gone and nobody else would."""
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def render(job: RenderJob, max_output_chars: int) -> RenderReply:
    """Render one job; whatever the template does becomes a reply."""
    try:
        return _render(job, max_output_chars)
    except MemoryError:
        return RenderReply("limit", "it needs too much memory")
    except RecursionError:
        return RenderReply("limit", "it nests too deeply")
    except _OutputTooLong:
        return RenderReply("limit", f"it writes more than {max_output_chars} characters")
    except jinja2.TemplateSyntaxError as error:
        return RenderReply("failed", f"{error.message} in line {error.lineno}")
    except jinja2.TemplateError as error:
        on_purpose = type(error) is jinja2.TemplateError
        return RenderReply("refused" if on_purpose else "failed", str(error.message or error))
    except Exception as error:
        return RenderReply("failed", f"{type(error).__name__}: {error}")


class _OutputTooLong(Exception):
    """The template writes without end."""


def _render(job: RenderJob, max_output_chars: int) -> RenderReply:
    environment, template = _compiled(job.template)
    if job.compile_only:
        return RenderReply("done")
    set_clock(environment, datetime.fromisoformat(job.now) if job.now else datetime.now())
    text = _joined(template.generate(_context(job, job.add_generation_prompt)), max_output_chars)
    if not job.want_tail:
        return RenderReply("done", text)
    try:
        without = _joined(template.generate(_context(job, False)), max_output_chars)
    except jinja2.TemplateError:
        return RenderReply("done", text, len(text))
    return RenderReply("done", text, _num_shared(text, without))


@functools.lru_cache(maxsize=8)
def _compiled(source: str) -> tuple[jinja2.Environment, jinja2.Template]:
    if len(source) > MAX_TEMPLATE_CHARS:
        raise jinja2.TemplateAssertionError(
            f"the template has {len(source)} characters, more than {MAX_TEMPLATE_CHARS}", 1
        )
    environment = make_environment()
    return environment, environment.from_string(source)


def _num_shared(one: str, other: str) -> int:
    different = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(different, min(len(one), len(other)))


def _context(job: RenderJob, add_generation_prompt: bool) -> dict[str, Any]:
    return {
        **job.variables,
        "messages": job.messages,
        "tools": job.tools,
        "documents": job.documents,
        "add_generation_prompt": add_generation_prompt,
    }


def _joined(pieces: Iterable[str], max_output_chars: int) -> str:
    written: list[str] = []
    room = max_output_chars
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            raise _OutputTooLong
        written.append(piece)
    return "".join(written)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
