"""Nemotron-H v2 (Nano v2): all calls of a turn in one JSON list.

<think>
reasoning
</think>
<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Paris"}}]</TOOLCALL>
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.descriptors import ChatFormatDescriptor
from jackfield.hooks import hookimpl
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.contract import FormatParser
from jackfield.text.grammars import GrammarWriter, Wanted
from jackfield.text.json_calls import JsonCallList
from jackfield.text.tagged import TagDialect, TaggedParser
from jackfield.text.tagged_grammar import TaggedGrammar, json_call

CALLS, CALLS_END = "<TOOLCALL>", "</TOOLCALL>"
DIALECT = TagDialect(
    (("<think>", "</think>"),),
    calls={CALLS: lambda scope: JsonCallList(scope, CALLS, CALLS_END)},
)


class NemotronFormat:
    """A list of calls between tags; thinking is switched by a word in the system message."""

    preserved_tokens: Sequence[str] = (
        *("<think>", "</think>", CALLS, CALLS_END),
        *("<TOOL_RESPONSE>", "</TOOL_RESPONSE>", "<AVAILABLE_TOOLS>", "</AVAILABLE_TOOLS>"),
    )
    supports_thinking = True
    supports_tools = True
    thinking_end = "\n</think>\n\n"

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Leave the history as it is: the template writes calls and results itself."""
        return messages

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write all calls of a turn into one list."""

        def calls() -> str:
            call = json_call(writer, wanted.tools)
            more = f'(", " {call})*' if wanted.is_parallel else ""
            return writer.rule(f'"[" {call} {more} "]" {writer.tag(CALLS_END)}')

        TaggedGrammar(writer, wanted, thinking=DIALECT.thinking, calls={CALLS: calls}, is_block=True).write()

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser for one generation."""
        return TaggedParser(DIALECT, tools)


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare the format of Nemotron-H v2."""
    return [
        ChatFormatDescriptor(
            name="nemotron",
            summary="<think> blocks and <TOOLCALL> lists (Nemotron-H v2)",
            factory="jackfield_plugins.formats.nemotron:NemotronFormat",
            template_has=(CALLS,),
            priority=60,
        )
    ]
