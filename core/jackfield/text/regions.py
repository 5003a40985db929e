"""Reading a generation as a chain of regions: content, thinking, a call.

Exactly one region is open. It takes text from the front of a buffer, says what it means, and may hand over to
another region. What a region makes of a text never depends on where the text was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from jackfield.text.contract import ArgumentsDelta, Content, ParsedEvent, Thinking
from jackfield.text.literals import Literals, longest_partial

__all__ = ["Exit", "Region", "RegionParser", "Step", "TextRegion", "joined"]


@dataclass
class Step:
    """What a region made of a buffer.

    Attributes:
        used: Characters taken from the front.
        region: Who goes on; ``None`` to stay and wait for more text.
    """

    used: int
    events: list[ParsedEvent] = field(default_factory=list[ParsedEvent])
    region: Region | None = None


class Region(Protocol):
    """A part of a generation with one meaning."""

    @property
    def is_thinking(self) -> bool:
        """Whether this is reasoning."""
        ...

    def step(self, text: str, *, final: bool) -> Step:
        """Take what can be taken; all of it when ``final``, for nothing follows."""
        ...

    def close(self) -> list[ParsedEvent]:
        """End here: the generation is over and all its text was taken."""
        ...


Exit = Callable[[], Region]


class TextRegion:
    """Content or thinking, up to a tag.

    White space before a tag or the end is not part of the text, so it is held back until more text follows.

    Args:
        event: ``Content`` or ``Thinking``.
        exits: Tags that lead on from anywhere.
        openings: Tags that lead on only before the first visible character.
        trims_start: Leave out white space at the beginning.
        has_begun: Text of this region stands in the prompt already.
        lead: White space to put before the first visible text.

    Attributes:
        has_spoken: Visible text of this region was told, or stands in the prompt.
    """

    def __init__(
        self,
        event: type[Content] | type[Thinking],
        exits: Mapping[str, Exit],
        *,
        openings: Mapping[str, Exit] | None = None,
        trims_start: bool = False,
        has_begun: bool = False,
        lead: str = "",
    ) -> None:
        self.has_spoken = has_begun
        self._event = event
        self._exits = exits
        self._openings: Mapping[str, Exit] = openings if openings and not has_begun else {}
        self._literals = Literals(exits)
        self._trims_start = trims_start and not has_begun
        self._has_begun = has_begun
        self._holds = bool(exits or self._openings)
        self._pending = lead

    @property
    def is_thinking(self) -> bool:
        """Whether this is reasoning."""
        return self._event is Thinking

    def step(self, text: str, *, final: bool) -> Step:
        """Emit text up to the next tag."""
        lead = 0
        if not self._has_begun:
            lead = len(text) - len(text.lstrip())
            self._pending += "" if self._trims_start else text[:lead]
            waiting_or_over = self._opening(text[lead:], lead, final=final)
            if waiting_or_over is not None:
                return waiting_or_over
            self._has_begun = True
        end, literal = self._literals.find(text[lead:], final=final)
        events = self._emitted(text[lead : lead + end])
        if literal is None:
            return Step(lead + end, events)
        return Step(lead + end + len(literal), events, self._exits[literal]())

    def close(self) -> list[ParsedEvent]:
        """Drop held white space; where no tag can follow, there is none held."""
        return []

    def _opening(self, text: str, lead: int, *, final: bool) -> Step | None:
        """Return the step at the beginning of the region; ``None`` when visible text begins it."""
        if not text:
            return Step(lead)
        if not final and longest_partial(text, list(self._openings)) == len(text):
            return Step(lead)
        fitting = [tag for tag in self._openings if text.startswith(tag)]
        if not fitting:
            return None
        tag = max(fitting, key=len)
        return Step(lead + len(tag), region=self._openings[tag]())

    def _emitted(self, text: str) -> list[ParsedEvent]:
        text = self._pending + text
        end = len(text.rstrip()) if self._holds else len(text)
        self._pending = text[end:]
        self.has_spoken = self.has_spoken or end > 0
        return [self._event(text[:end])] if end else []


class RegionParser:
    """Drives a chain of regions; what it is told piecewise it reads as one text."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._buffer = ""

    @property
    def in_thinking(self) -> bool:
        """Whether a thinking block is open now."""
        return self._region.is_thinking

    def enter(self, region: Region) -> None:
        """Start in another region."""
        self._region = region

    def feed(self, text: str) -> list[ParsedEvent]:
        """Take more text; partial tags are held back."""
        self._buffer += text
        return joined(self._run(final=False))

    def finish(self, stop_token: str | None) -> list[ParsedEvent]:
        """End: flush what was held back."""
        return joined([*self._run(final=True), *self._region.close()])

    def _run(self, *, final: bool) -> list[ParsedEvent]:
        events: list[ParsedEvent] = []
        while True:
            step = self._region.step(self._buffer, final=final)
            self._buffer = self._buffer[step.used :]
            events += step.events
            if step.region is None:
                return events
            self._region = step.region


def joined(events: list[ParsedEvent]) -> list[ParsedEvent]:
    """Return the events with neighbours of one kind in one."""
    found: list[ParsedEvent] = []
    for event in events:
        both = _both(found[-1], event) if found else None
        if both is None:
            found.append(event)
        else:
            found[-1] = both
    return found


def _both(one: ParsedEvent, other: ParsedEvent) -> ParsedEvent | None:
    """Return two deltas of one thing as one; ``None`` when they are not."""
    if isinstance(one, Content) and isinstance(other, Content):
        return Content(one.text + other.text)
    if isinstance(one, Thinking) and isinstance(other, Thinking):
        return Thinking(one.text + other.text)
    if isinstance(one, ArgumentsDelta) and isinstance(other, ArgumentsDelta) and one.index == other.index:
        return ArgumentsDelta(one.index, one.text + other.text)
    return None
