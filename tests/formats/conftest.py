from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from jackfield.host import Host
from jackfield.service.requests import ToolDefinition
from jackfield.text.contract import ChatFormat, FormatParser, ParsedEvent
from jackfield.text.regions import joined

TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": ["boolean", "null"]}
TOOLS = [
    ToolDefinition(
        "get_weather", "", {"type": "object", "properties": {"city": TEXT, "days": NUMBER, "exact": FLAG}}
    ),
    ToolDefinition("list-files", "", {"type": "object", "properties": {"where": {"type": "object"}}}),
]


@pytest.fixture(scope="session")
def host() -> Host:
    return Host()


@pytest.fixture
def parser_of(host: Host) -> Callable[..., FormatParser]:
    """Return a function from a format's name to a parser of a fresh generation."""

    def build(name: str, *, tail: str | None = None, with_tools: bool = True) -> FormatParser:
        chat_format: ChatFormat = host.chat_format(name).load()()
        parser = chat_format.parser(TOOLS if with_tools else [])
        if tail is not None:
            parser.prime(tail)
        return parser

    return build


def events_of(parser: FormatParser, text: str, cuts: Iterable[int] = ()) -> list[ParsedEvent]:
    events: list[ParsedEvent] = []
    start = 0
    for cut in (*cuts, len(text)):
        events += parser.feed(text[start:cut])
        start = cut
    return joined(events + parser.finish(None))


@pytest.fixture
def read() -> Callable[..., list[ParsedEvent]]:
    """Return a function from a parser and a text, cut at some places, to its events."""
    return events_of
