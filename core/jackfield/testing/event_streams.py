"""Streams of events as a service may send them, and what a client should have heard of them.

For protocols: render a stream's frames, let the protocol's own client put them together again, and compare.

    events = random_stream(random.Random(7))
    assert heard_by_the_client(frames_of(events)) == heard_in(events)
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from jackfield.service.events import (
    Admitted,
    Event,
    Finished,
    FinishReason,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    Timings,
    ToolCallDelta,
    ToolCallDone,
    Usage,
)

__all__ = ["Heard", "frames_of", "heard_in", "random_stream"]

PIECES = ("a", " word", "né", "日本", "🙂", "\n", "\n\n", "data: x", '"', "\\", "</think>", "\u2028", "")
VALUES: tuple[Any, ...] = (
    "Paris",
    "",
    'a "quoted" text',
    3,
    -1.5,
    True,
    None,
    [1, "b"],
    {"deep": {"er": []}},
)


@dataclass
class Heard:
    """What a client has put together from one choice's frames."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])


def heard_in(events: Iterable[Event], choice: int = 0) -> Heard:
    """Return what the events themselves say."""
    heard = Heard()
    for event in events:
        if getattr(event, "choice", choice) != choice:
            continue
        match event:
            case TextDelta():
                heard.text += event.text
            case ThinkingDelta():
                heard.thinking += event.text
            case ToolCallDone():
                heard.calls.append((event.id, event.name, event.arguments))
            case _:
                continue
    return heard


def frames_of(frames: Any, events: Iterable[Event]) -> bytes:
    """Return all that a protocol's ``Frames`` write for a stream."""
    parts = [b"".join(frames.render(event)) for event in events]
    return b"".join([*parts, *frames.end()])


def random_stream(draw: random.Random) -> list[Event]:
    """Return one choice's stream: places, thinking, text and calls in any order that a service may send."""
    body: list[Event] = []
    num_calls = 0
    for _ in range(draw.randrange(5)):
        kind = draw.choice(("thinking", "text", "text", "call"))
        if kind == "call":
            body += _call(draw, num_calls)
            num_calls += 1
        else:
            body += _deltas(draw, TextDelta if kind == "text" else ThinkingDelta)
    reason: FinishReason = "tool_calls" if num_calls else draw.choice(("stop", "length"))
    num_prompt = draw.randrange(1, 99)
    num_cached = draw.randrange(num_prompt)
    usage = Usage(num_prompt, num_cached, draw.randrange(50), draw.randrange(5), 3, 2)
    stop_text = "END" if reason == "stop" and draw.random() < 0.5 else None
    return [
        *(QueuePlace(place, 3) for place in range(draw.randrange(3), 0, -1)),
        Admitted("echo-tiny.gguf", num_prompt, num_cached, 200),
        *body,
        Finished(reason, usage, Timings(100, 1, 0, 40, 59), stop_text=stop_text),
    ]


def _deltas(draw: random.Random, kind: type[TextDelta | ThinkingDelta]) -> Iterator[Event]:
    for _ in range(draw.randrange(1, 5)):
        yield kind(draw.choice(PIECES))


def _call(draw: random.Random, index: int) -> Iterator[Event]:
    """Yield a call with its arguments cut anywhere, or, from formats that cannot stream them, in one piece."""
    call_id, name = f"call_{draw.randrange(16**6):06x}", draw.choice(("weather", "f"))
    arguments = {draw.choice(("city", "x", "é")): draw.choice(VALUES) for _ in range(draw.randrange(3))}
    if draw.random() < 0.8:
        text = msgspec.json.encode(arguments).decode()
        cuts = sorted(draw.randrange(len(text) + 1) for _ in range(draw.randrange(4)))
        yield ToolCallDelta(index, call_id, name)
        for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
            yield ToolCallDelta(index, arguments=text[start:stop])
    yield ToolCallDone(index, call_id, name, arguments)
