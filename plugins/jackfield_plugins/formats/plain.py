"""Plain text: a family that marks neither thinking nor tool calls."""

from __future__ import annotations

from collections.abc import Sequence

from jackfield import hookimpl
from jackfield.descriptors import ChatFormatDescriptor
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.contract import Content, ParsedEvent

__all__ = ["PlainFormat", "jackfield_chat_formats"]


class PlainParser:
    """Passes every piece on as it comes."""

    in_thinking = False

    def prime(self, prompt_tail: str) -> None:
        """Take the prompt's last text, which says nothing here."""

    def feed(self, text: str) -> list[ParsedEvent]:
        """Return the text as content."""
        return [Content(text)] if text else []

    def finish(self, stop_token: str | None) -> list[ParsedEvent]:
        """Return nothing: nothing is ever held back."""
        return []


class PlainFormat:
    """A format without marks."""

    preserved_tokens: Sequence[str] = ()
    supports_thinking = False
    supports_tools = False
    thinking_end = ""

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Return the history as it is."""
        return messages

    def parser(self, tools: Sequence[ToolDefinition], *, thinking: bool) -> PlainParser:
        """Return a parser for one generation."""
        return PlainParser()


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare the format that is used when no other fits."""
    return [
        ChatFormatDescriptor(
            name="plain",
            summary="text without thinking or tool calls",
            factory="jackfield_plugins.formats.plain:PlainFormat",
            priority=-1,
        )
    ]
