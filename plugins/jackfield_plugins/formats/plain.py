"""Text as it is, and text with ``<think>`` blocks: for models whose template knows no tools."""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.descriptors import ChatFormatDescriptor
from jackfield.hooks import hookimpl
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.contract import FormatParser
from jackfield.text.grammars import GrammarWriter, Wanted
from jackfield.text.tagged import TagDialect, TaggedParser
from jackfield.text.tagged_grammar import TaggedGrammar


class PlainFormat:
    """All of the output is the answer."""

    dialect = TagDialect()
    preserved_tokens: Sequence[str] = ()
    supports_thinking = False
    supports_tools = False
    thinking_end = ""

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Leave the history as it is."""
        return messages

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write the answer, behind what the family thinks."""
        TaggedGrammar(writer, wanted, thinking=self.dialect.thinking).write()

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser that reads no tools."""
        return TaggedParser(self.dialect, ())


class ThinkingFormat(PlainFormat):
    """Reasoning between ``<think>`` and ``</think>``, then the answer."""

    dialect = TagDialect((("<think>", "</think>"),))
    preserved_tokens = ("<think>", "</think>")
    supports_thinking = True
    thinking_end = "\n</think>\n\n"


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare the two formats without tools."""
    return [
        ChatFormatDescriptor(
            name="plain",
            summary="The answer and nothing else",
            factory="jackfield_plugins.formats.plain:PlainFormat",
        ),
        ChatFormatDescriptor(
            name="think",
            summary="<think> blocks, no tools",
            factory="jackfield_plugins.formats.plain:ThinkingFormat",
            template_has=("</think>",),
            priority=10,
        ),
    ]
