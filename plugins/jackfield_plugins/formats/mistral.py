"""Mistral's three generations of calls, told apart by what follows the tag.

    [TOOL_CALLS][{"name": "f", "arguments": {…}, "id": "9chars"}]      7B v0.3, Nemo, Small 2409, Large
    [TOOL_CALLS]f[CALL_ID]9chars[ARGS]{…}                               Small 3.2
    [TOOL_CALLS]f[ARGS]{…}                                              Devstral, Ministral 3, Magistral

Arguments have no closing tag: they end where their JSON ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.descriptors import ChatFormatDescriptor
from jackfield.hooks import hookimpl
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.calls import CallScope
from jackfield.text.contract import Content, FormatParser, ParsedEvent
from jackfield.text.grammars import GrammarWriter, Wanted, quoted
from jackfield.text.histories import with_short_ids
from jackfield.text.json_calls import ArgumentStream, JsonCallList
from jackfield.text.literals import Literals
from jackfield.text.regions import Step
from jackfield.text.tagged import TagDialect, TaggedParser
from jackfield.text.tagged_grammar import TaggedGrammar, either, json_call

CALLS, CALL_ID, ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
ID = "/[a-zA-Z0-9]{9}/"
THINK, THINK_END = "[THINK]", "[/THINK]"


class MistralCalls:
    """Behind ``[TOOL_CALLS]``: a list, or a name."""

    is_thinking = False

    def __init__(self, scope: CallScope) -> None:
        self._scope = scope
        self._text = ""
        self._name: str | None = None
        self._literals = Literals([CALL_ID, ARGUMENTS, "{", CALLS])

    def step(self, text: str, *, final: bool) -> Step:
        """Find out which generation speaks, and the name."""
        lead = len(text) - len(text.lstrip()) if not self._text else 0
        if lead == len(text):
            return Step(lead)
        if not self._text and text[lead] in "[{":
            return self._list_step(text, lead, final=final)
        end, literal = self._literals.find(text[lead:], final=final)
        self._text += text[lead : lead + end]
        if literal is None:
            return Step(lead + end)
        return self._literal_step(literal, lead + end)

    def close(self) -> list[ParsedEvent]:
        """Give back a name without arguments."""
        return [Content(CALLS + self._text)]

    def _list_step(self, text: str, lead: int, *, final: bool) -> Step:
        """Tell a list from a tag that begins with a bracket too."""
        end, literal = self._literals.find(text[lead:], final=final)
        if literal in (CALL_ID, ARGUMENTS, CALLS) and end == 0:
            return Step(lead, [Content(CALLS)], self._scope.after_text())
        if literal is None and end == 0:
            return Step(lead)
        return Step(lead, region=JsonCallList(self._scope, CALLS))

    def _literal_step(self, literal: str, end: int) -> Step:
        if literal == CALLS:
            return Step(end, self.close(), self._scope.after_text())
        self._name = self._name or self._text.strip()
        self._text += literal
        if literal == CALL_ID:
            return Step(end + len(literal), region=self)
        used = end if literal == "{" else end + len(literal)
        return Step(used, region=MistralArguments(self._scope, self._name, CALLS + self._text))


class MistralArguments:
    """One object of arguments, to its last bracket."""

    is_thinking = False

    def __init__(self, scope: CallScope, name: str, raw: str) -> None:
        self._scope = scope
        self._raw = raw.removesuffix("{")
        self._stream = ArgumentStream(scope)
        self._stream.name = scope.offered_name(name)
        self._object = self._stream.begin_object()

    def step(self, text: str, *, final: bool) -> Step:
        """Pass the arguments on."""
        used = self._object.take(text)
        self._raw += text[:used]
        if not self._raw_is_object() and self._object.text.strip():
            return self._given_back(used)
        events = self._stream.advance()
        if self._object.is_complete:
            return Step(used, events, self._scope.after_call())
        if self._object.has_failed:
            return self._given_back(used, events)
        return Step(used, events)

    def close(self) -> list[ParsedEvent]:
        """End arguments that broke off."""
        return self._stream.complete() if self._stream.has_started else [Content(self._raw)]

    def _raw_is_object(self) -> bool:
        return self._object.text.lstrip().startswith("{")

    def _given_back(self, used: int, events: list[ParsedEvent] | None = None) -> Step:
        return Step(used, [*(events or []), *self.close()], self._scope.after_text())


DIALECT = TagDialect(
    ((THINK, THINK_END), ("<think>", "</think>")),
    calls={CALLS: MistralCalls},
)


class MistralFormat:
    """All generations of Mistral's calls."""

    preserved_tokens: Sequence[str] = (
        *(THINK, THINK_END, CALLS, CALL_ID, ARGUMENTS),
        *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]"),
    )
    supports_thinking = True
    supports_tools = True
    thinking_end = THINK_END

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Shorten call ids to the nine characters that the templates insist on."""
        return with_short_ids(messages)

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write calls as the vocabulary of one of the generations has them; the model knows which it is."""

        def calls() -> str:
            return writer.rule(either([*_named_calls(wanted, writer), _listed_calls(wanted, writer)]))

        TaggedGrammar(writer, wanted, thinking=DIALECT.thinking, calls={CALLS: calls}).write()

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser for one generation."""
        return TaggedParser(DIALECT, tools)


def _named_calls(wanted: Wanted, writer: GrammarWriter) -> list[str]:
    call_id = f"({writer.tag(CALL_ID)} {writer.terminal(ID)})?"
    return [
        f"{quoted(tool.name)} {call_id} {writer.tag(ARGUMENTS)} {writer.json(tool.parameters)}"
        for tool in wanted.tools
    ]


def _listed_calls(wanted: Wanted, writer: GrammarWriter) -> str:
    call_id = f'(", \\"id\\": \\"" {writer.terminal(ID)} "\\"")?'
    call = json_call(writer, wanted.tools, rest=call_id)
    return f'"[" {call} (", " {call})* "]"' if wanted.is_parallel else f'"[" {call} "]"'


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare Mistral's format."""
    return [
        ChatFormatDescriptor(
            name="mistral",
            summary="[TOOL_CALLS] of all generations, [THINK] blocks (Mistral, Ministral, Devstral, Magistral)",
            factory="jackfield_plugins.formats.mistral:MistralFormat",
            template_has=(CALLS,),
            priority=100,
        )
    ]
