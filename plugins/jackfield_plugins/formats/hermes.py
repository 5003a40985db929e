"""Qwen 2.5, Qwen 3, SmolLM 3 and other Hermes-style models.

<think>
reasoning
</think>

answer
<tool_call>
{"name": "get_weather", "arguments": {"city": "Paris"}}
</tool_call>
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.descriptors import ChatFormatDescriptor
from jackfield.hooks import hookimpl
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.contract import FormatParser
from jackfield.text.grammars import GrammarWriter, Wanted
from jackfield.text.json_calls import TaggedJsonCall
from jackfield.text.tagged import TagDialect, TaggedParser
from jackfield.text.tagged_grammar import TaggedGrammar, json_call

CALL, CALL_END = "<tool_call>", "</tool_call>"
DIALECT = TagDialect(
    (("<think>", "</think>"),),
    calls={CALL: lambda scope: TaggedJsonCall(scope, CALL, CALL_END)},
)


class HermesFormat:
    """JSON calls between tags."""

    preserved_tokens: Sequence[str] = (
        *("<think>", "</think>", CALL, CALL_END),
        *("<tool_response>", "</tool_response>"),
    )
    supports_thinking = True
    supports_tools = True
    thinking_end = "\n</think>\n\n"

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Leave the history as it is: the templates write calls and results themselves."""
        return messages

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write calls as objects on a line of their own."""

        def call() -> str:
            return writer.rule(f'"\\n"? {json_call(writer, wanted.tools)} "\\n"? {writer.tag(CALL_END)}')

        TaggedGrammar(writer, wanted, thinking=DIALECT.thinking, calls={CALL: call}).write()

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser for one generation; a model that thinks unasked is read all the same."""
        return TaggedParser(DIALECT, tools)


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare the Hermes format."""
    return [
        ChatFormatDescriptor(
            name="hermes",
            summary="<think> blocks and JSON in <tool_call> tags (Qwen 2.5, Qwen 3, SmolLM 3)",
            factory="jackfield_plugins.formats.hermes:HermesFormat",
            template_has=("<tool_call>",),
            priority=30,
        )
    ]
