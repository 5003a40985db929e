"""Parsers for families that mark thinking and calls with tags: all but Harmony."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jackfield.service.requests import ToolDefinition
from jackfield.text.calls import CallScope
from jackfield.text.contract import Content, Thinking
from jackfield.text.regions import Exit, Region, RegionParser, TextRegion

__all__ = ["CallRegion", "TagDialect", "TaggedParser"]

CallRegion = Callable[[CallScope], Region]


@dataclass(frozen=True)
class TagDialect:
    """The tags of a family.

    Attributes:
        thinking: Opening and closing tags around reasoning, in all spellings the family uses.
        calls: What opens a call anywhere, and what reads it from there.
        leading_calls: What opens a call only where nothing visible came before.
    """

    thinking: Sequence[tuple[str, str]] = ()
    calls: Mapping[str, CallRegion] = field(default_factory=dict[str, CallRegion])
    leading_calls: Mapping[str, CallRegion] = field(default_factory=dict[str, CallRegion])


class TaggedParser(RegionParser):
    """Reads one generation of a family with tags; call tags are text when no tools were offered."""

    def __init__(self, dialect: TagDialect, tools: Sequence[ToolDefinition]) -> None:
        self._dialect = dialect
        self._tools = tools
        self._scope = CallScope(
            tools,
            after_call=lambda: self._content(trims_start=True),
            after_text=lambda: self._content(has_begun=True),
        )
        super().__init__(self._content())

    def prime(self, prompt_tail: str) -> None:
        """Take the prompt's last text, to learn whether a thinking block is open already."""
        for opening, closing in self._dialect.thinking:
            opened, closed = prompt_tail.rfind(opening), prompt_tail.rfind(closing)
            if opened > closed:
                begun = prompt_tail[opened + len(opening) :].strip()
                self.enter(self._thinking(opening, closing, has_begun=bool(begun)))
            elif closed >= 0:
                begun = prompt_tail[closed + len(closing) :].strip()
                self.enter(self._content(trims_start=True, has_begun=bool(begun)))

    def _content(self, *, trims_start: bool = False, has_begun: bool = False) -> Region:
        openings = {
            opening: self._thinking_exit(opening, closing) for opening, closing in self._dialect.thinking
        }
        return TextRegion(
            Content,
            self._exits(self._dialect.calls),
            openings={**openings, **self._exits(self._dialect.leading_calls)},
            trims_start=trims_start,
            has_begun=has_begun,
        )

    def _thinking(self, opening: str, closing: str, *, has_begun: bool = False) -> Region:
        # a model may repeat the tag that the prompt ended with, and may call without closing its thoughts
        return TextRegion(
            Thinking,
            {closing: lambda: self._content(trims_start=True), **self._exits(self._dialect.calls)},
            openings={opening: self._thinking_exit(opening, closing)},
            trims_start=True,
            has_begun=has_begun,
        )

    def _thinking_exit(self, opening: str, closing: str) -> Exit:
        return lambda: self._thinking(opening, closing)

    def _exits(self, calls: Mapping[str, CallRegion]) -> dict[str, Exit]:
        if not self._tools:
            return {}
        return {tag: self._exit(region) for tag, region in calls.items()}

    def _exit(self, region: CallRegion) -> Exit:
        return lambda: region(self._scope)
