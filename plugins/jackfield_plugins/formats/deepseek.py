"""DeepSeek: two notations, each of two generations.

V3 and R1, and V3.1, which leaves out the word ``function`` and the fence:

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME
    ```json
    {…}
    ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>

V3.2, and V4, which calls the block ``tool_calls``:

    <｜DSML｜function_calls>
    <｜DSML｜invoke name="NAME">
    <｜DSML｜parameter name="KEY" string="true">VALUE</｜DSML｜parameter>
    </｜DSML｜invoke>
    </｜DSML｜function_calls>
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jackfield.descriptors import ChatFormatDescriptor
from jackfield.hooks import hookimpl
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.calls import CallScope, GrowingCall
from jackfield.text.coercion import coerce, property_schema
from jackfield.text.contract import Content, FormatParser, ParsedEvent
from jackfield.text.grammars import GrammarWriter, Wanted, quoted
from jackfield.text.json_calls import ArgumentStream
from jackfield.text.literals import Literals
from jackfield.text.raw_values import RawValue
from jackfield.text.regions import Region, Step
from jackfield.text.tagged import CallRegion, TagDialect, TaggedParser
from jackfield.text.tagged_grammar import TaggedGrammar, either

BLOCK, BLOCK_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEPARATOR, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
# R1 misspells the tag that it saw rarely
BLOCK_SPELLINGS = (BLOCK, "<｜tool_calls_begin｜>", "<｜tool calls begin｜>", "<｜tool▁calls｜>")
DSML, DSML_END = "<｜DSML｜", "</｜DSML｜"
DSML_BLOCKS = ("function_calls", "tool_calls")
PARAMETER_END, INVOKE_END = f"{DSML_END}parameter>", f"{DSML_END}invoke>"
_NAME = re.compile(r'name="([^"]*)"')
_IS_TEXT = re.compile(r'string="true"')
TRUE, FALSE = '"true"', '"false"'
THINKING = (("<think>", "</think>"),)


class CallBlock:
    """Calls one after the other, up to the end of the block."""

    is_thinking = False

    def __init__(self, scope: CallScope, opening: str) -> None:
        self._scope = scope
        self._raw = opening
        self._has_called = False
        self._literals = Literals([CALL, BLOCK_END])

    def step(self, text: str, *, final: bool) -> Step:
        """Find the next call."""
        end, literal = self._literals.find(text, final=final)
        self._raw += text[:end]
        if literal is None:
            return Step(end)
        used = end + len(literal)
        if literal == CALL:
            self._has_called = True
            return Step(used, region=FencedCall(self._scope, self))
        if self._has_called:
            return Step(used, region=self._scope.after_call())
        return Step(used, [Content(self._raw + literal)], self._scope.after_text())

    def close(self) -> list[ParsedEvent]:
        """End without the closing tag."""
        return [] if self._has_called else [Content(self._raw)]


class FencedCall:
    """One call: a name, then an object that may stand in a fence."""

    is_thinking = False

    def __init__(self, scope: CallScope, block: CallBlock) -> None:
        self._block = block
        self._scope = scope
        self._stream = ArgumentStream(scope)
        self._object = self._stream.begin_object()
        self._head = ""
        self._raw = CALL
        self._in_arguments = False
        self._head_end = Literals(["{", CALL_END])
        self._end = Literals([CALL_END])

    def step(self, text: str, *, final: bool) -> Step:
        """Read the head, then the arguments, then skip to the end of the call."""
        if not self._in_arguments:
            return self._head_step(text, final=final)
        used = 0 if self._object.has_failed else self._object.take(text)
        self._raw += text[:used]
        events = self._stream.advance()
        if not (self._object.is_complete or self._object.has_failed):
            return Step(used, events)
        end, literal = self._end.find(text[used:], final=final)
        self._raw += text[used : used + end]
        if literal is None:
            return Step(used + end, events)
        return Step(used + end + len(literal), [*events, *self._ended(literal)], self._block)

    def close(self) -> list[ParsedEvent]:
        """End where the text ends."""
        return self._ended("")

    def _head_step(self, text: str, *, final: bool) -> Step:
        end, literal = self._head_end.find(text, final=final)
        self._head += text[:end]
        self._raw += text[:end]
        if literal is None:
            return Step(end)
        if literal == CALL_END:
            return Step(end + len(literal), self._ended(literal), self._block)
        self._in_arguments = True
        self._stream.name = self._scope.offered_name(_name_in(self._head))
        return Step(end, region=self)

    def _ended(self, tag: str) -> list[ParsedEvent]:
        if self._stream.is_done:
            return []
        return self._stream.complete() if self._stream.has_started else [Content(self._raw + tag)]


def _name_in(head: str) -> str:
    """Return the name in what stands before the arguments, in either generation's notation."""
    kind, separator, rest = head.partition(SEPARATOR)
    if separator and kind.strip() == "function":
        return rest.partition("```")[0].strip()
    return (kind if separator else head).strip()


class DsmlBlock:
    """Invocations one after the other, up to the end of the block."""

    is_thinking = False

    def __init__(self, scope: CallScope, name: str) -> None:
        self._scope = scope
        self._raw = f"{DSML}{name}>"
        self._has_called = False
        self._literals = Literals([f"{DSML}invoke", f"{DSML_END}{name}>"])

    def step(self, text: str, *, final: bool) -> Step:
        """Find the next invocation."""
        end, literal = self._literals.find(text, final=final)
        self._raw += text[:end]
        if literal is None:
            return Step(end)
        if literal.startswith(DSML_END):
            used = end + len(literal)
            if self._has_called:
                return Step(used, region=self._scope.after_call())
            return Step(used, [Content(self._raw + literal)], self._scope.after_text())
        return self._invoke_step(text, end, final=final)

    def close(self) -> list[ParsedEvent]:
        """End without the closing tag."""
        return [] if self._has_called else [Content(self._raw)]

    def _invoke_step(self, text: str, end: int, *, final: bool) -> Step:
        tag, used = _tag_at(text, end)
        if used is None:
            self._raw += text[end:] if final else ""
            return Step(len(text) if final else end)
        name = _NAME.search(tag)
        if name is None:
            self._raw += tag
            return Step(used, region=self)
        self._has_called = True
        invocation = Invocation(self._scope, self, name[1])
        return Step(used, [invocation.started], invocation)


class Invocation:
    """Parameters of one call, each told when it is whole."""

    is_thinking = False

    def __init__(self, scope: CallScope, block: DsmlBlock, name: str) -> None:
        self._block = block
        self._call = GrowingCall(scope, scope.offered_name(name))
        self._tag: str | None = None
        self._between = Literals([f"{DSML}parameter", INVOKE_END])
        self.started = self._call.started

    def step(self, text: str, *, final: bool) -> Step:
        """Take one tag or one value."""
        if self._tag is not None:
            return self._value_step(text, self._tag, final=final)
        end, literal = self._between.find(text, final=final)
        if literal is None:
            return Step(end)
        if literal == INVOKE_END:
            return Step(end + len(literal), self.close(), self._block)
        tag, used = _tag_at(text, end)
        if used is None:
            return Step(len(text) if final else end)
        self._tag = tag
        return Step(used, region=self)

    def close(self) -> list[ParsedEvent]:
        """End the call with what there is of it."""
        return self._call.end()

    def _value_step(self, text: str, tag: str, *, final: bool) -> Step:
        end = text.find(PARAMETER_END)
        if end < 0 and not final:
            return Step(0)
        used = len(text) if end < 0 else end + len(PARAMETER_END)
        self._tag = None
        key = _NAME.search(tag)
        if key is None:
            return Step(used, region=self)
        value = self._value(key[1], tag, text[:end] if end >= 0 else text)
        written = self._call.head(key[1]) + json.dumps(value, ensure_ascii=False)
        return Step(used, [self._call.write(written)], self)

    def _value(self, key: str, tag: str, text: str) -> object:
        if _IS_TEXT.search(tag):
            return text
        value: object = coerce(text, property_schema(self._call.parameters, key))
        return value


def _tag_at(text: str, start: int) -> tuple[str, int | None]:
    """Return the tag that begins there and where it ends; ``None`` while it is open."""
    end = text.find(">", start)
    return (text[start : end + 1], end + 1) if end >= 0 else ("", None)


def _block(opening: str) -> CallRegion:
    def region(scope: CallScope) -> Region:
        return CallBlock(scope, opening)

    return region


def _dsml(name: str) -> CallRegion:
    def region(scope: CallScope) -> Region:
        return DsmlBlock(scope, name)

    return region


FENCED = TagDialect(THINKING, calls={opening: _block(opening) for opening in BLOCK_SPELLINGS})
MARKED = TagDialect(THINKING, calls={f"{DSML}{name}>": _dsml(name) for name in DSML_BLOCKS})


class DeepSeekFormat:
    """Calls between tags with a fence (V3, R1, V3.1)."""

    dialect = FENCED
    preserved_tokens: Sequence[str] = (
        *("<think>", "</think>", *BLOCK_SPELLINGS, BLOCK_END, CALL, SEPARATOR, CALL_END),
        *(
            "<｜tool▁outputs▁begin｜>",
            "<｜tool▁output▁begin｜>",
            "<｜tool▁output▁end｜>",
            "<｜tool▁outputs▁end｜>",
        ),
    )
    supports_thinking = True
    supports_tools = True
    thinking_end = "\n</think>\n\n"

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Leave the history as it is: the templates write calls and results themselves."""
        return messages

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write calls into one block, in either generation's notation; the model knows which is its own."""
        calls = {BLOCK: lambda: _fenced_calls(wanted, writer)}
        misspelt = BLOCK_SPELLINGS[1:]
        TaggedGrammar(writer, wanted, thinking=THINKING, calls=calls, unread=misspelt, is_block=True).write()

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser for one generation."""
        return TaggedParser(self.dialect, tools)


class DsmlFormat(DeepSeekFormat):
    """Calls as marked invocations (V3.2, V4)."""

    dialect = MARKED
    preserved_tokens = ("<think>", "</think>", "｜DSML｜", DSML, DSML_END)

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write calls into one block of either name, each parameter at most once and in the schema's order."""

        def block(name: str) -> Callable[[], str]:
            return lambda: _marked_calls(name, wanted, writer)

        calls = {f"{DSML}{name}>": block(name) for name in DSML_BLOCKS}
        TaggedGrammar(writer, wanted, thinking=THINKING, calls=calls, is_block=True).write()


def _fenced_calls(wanted: Wanted, writer: GrammarWriter) -> str:
    call, separator = writer.tag(CALL), writer.tag(SEPARATOR)
    calls: list[str] = []
    for tool in wanted.tools:
        name, arguments = quoted(tool.name), writer.json(tool.parameters)
        calls.append(f'"function" {separator} {name} "\\n```json\\n" {arguments} "\\n```"')
        calls.append(f"{name} {separator} {arguments}")
    one = writer.rule(f"{call} ({either(calls)}) {writer.tag(CALL_END)}", "call")
    more = f'("\\n"? {one})*' if wanted.is_parallel else ""
    return writer.rule(f"{one} {more} {writer.tag(BLOCK_END)}")


def _marked_calls(name: str, wanted: Wanted, writer: GrammarWriter) -> str:
    calls = [
        f"{writer.tag(f'{DSML}invoke name={quoted(tool.name)}>{chr(10)}')} {_parameters(tool.parameters, writer)}"
        for tool in wanted.tools
    ]
    end = writer.tag(f"{INVOKE_END}\n")
    one = writer.rule(f"({either(calls)}) {end}", "call")
    more = f"({one})*" if wanted.is_parallel else ""
    closing = writer.tag(f"{DSML_END}{name}>")
    return writer.rule(f'"\\n" {one} {more} {closing}')


def _parameters(parameters: Mapping[str, Any], writer: GrammarWriter) -> str:
    properties: dict[str, Any] = parameters.get("properties") or {}
    required = parameters.get("required") or ()
    written = [
        writer.rule(_parameter(key, RawValue.of(schema, parameters), writer), "value")
        for key, schema in properties.items()
    ]
    return " ".join(
        part if key in required else f"({part})?" for key, part in zip(properties, written, strict=True)
    )


def _parameter(key: str, value: RawValue, writer: GrammarWriter) -> str:
    head, closing = f"{DSML}parameter name={quoted(key)} string=", f"{PARAMETER_END}\n"
    writer.closers.append(closing)
    options: list[str] = []
    if value.texts:
        text = writer.free_to(closing, PARAMETER_END, text=value.pattern)
        options.append(f"{writer.tag(f'{head}{TRUE}>')} {text}")
    if value.schema is not None:
        options.append(f"{writer.tag(f'{head}{FALSE}>')} {writer.json(value.schema)} {writer.tag(closing)}")
    return either(options)


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare both of DeepSeek's notations."""
    dsml = "jackfield_plugins.formats.deepseek:DsmlFormat"
    summary = "<think> blocks and DSML invocations (DeepSeek V3.2, V4)"
    return [
        ChatFormatDescriptor(
            name="deepseek",
            summary="<think> blocks and fenced JSON calls (DeepSeek V3, R1, V3.1)",
            factory="jackfield_plugins.formats.deepseek:DeepSeekFormat",
            template_has=(CALL,),
            priority=50,
        ),
        ChatFormatDescriptor(
            name="deepseek-dsml", summary=summary, factory=dsml, template_has=("｜DSML｜",), priority=55
        ),
        ChatFormatDescriptor(
            name="deepseek-dsml-token",
            summary=summary,
            factory=dsml,
            template_has=("dsml_token",),
            priority=55,
        ),
    ]
