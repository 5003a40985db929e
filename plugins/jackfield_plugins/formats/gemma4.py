"""Gemma 4: thoughts in a channel, calls in a notation of its own.

    <|channel>thought
    reasoning
    <channel|>answer
    <|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:3}<tool_call|>

Strings stand between ``<|"|>`` marks and hold anything but that mark; there are no escapes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

from jackfield.descriptors import ChatFormatDescriptor
from jackfield.hooks import hookimpl
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.calls import CallScope, lenient_json, whole_call
from jackfield.text.coercion import coerce, is_text_only, property_schema
from jackfield.text.contract import Content, FormatParser, ParsedEvent, Thinking
from jackfield.text.grammars import GrammarWriter, Wanted, quoted
from jackfield.text.json_prefix import MAX_DEPTH
from jackfield.text.literals import Literals
from jackfield.text.regions import Exit, Region, RegionParser, Step, TextRegion
from jackfield.text.tagged_grammar import TaggedGrammar, either
from jackfield_plugins.formats.gemma4_values import QUOTE, GemmaValues

CHANNEL, CHANNEL_END = "<|channel>", "<channel|>"
CALL, CALL_END = "<|tool_call>", "<tool_call|>"
RESPONSE = "<|tool_response>"
_CALL = re.compile(r"\s*(call:)?\s*([^\s{:]+)\s*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_BARE_END = re.compile(r"[,}\]]")
_WORDS: dict[str, object] = {
    "true": True,
    "false": False,
    "null": None,
    "True": True,
    "False": False,
    "None": None,
}


class GemmaParser(RegionParser):
    """Thoughts and calls may stand anywhere, in any order."""

    def __init__(self, tools: Sequence[ToolDefinition]) -> None:
        self._tools = tools
        self._scope = CallScope(
            tools,
            after_call=lambda: self._content(trims_start=True),
            after_text=lambda: self._content(has_begun=True),
        )
        super().__init__(self._content())

    def prime(self, prompt_tail: str) -> None:
        """Take the prompt's last text, to learn whether a thought is open already."""
        opened, closed = prompt_tail.rfind(CHANNEL), prompt_tail.rfind(CHANNEL_END)
        if opened > closed:
            _, newline, begun = prompt_tail[opened:].partition("\n")
            is_named = newline != ""
            self.enter(self._thinking(has_begun=bool(begun.strip())) if is_named else self._channel())
        elif closed >= 0:
            begun = prompt_tail[closed + len(CHANNEL_END) :].strip()
            self.enter(self._content(trims_start=True, has_begun=bool(begun)))

    def _content(self, *, trims_start: bool = False, has_begun: bool = False) -> Region:
        exits: dict[str, Exit] = {CHANNEL: self._channel, CHANNEL_END: self._after_stray}
        if self._tools:
            exits |= {CALL: self._call, CALL_END: self._after_stray, RESPONSE: self._after_stray}
        return TextRegion(Content, exits, trims_start=trims_start, has_begun=has_begun)

    def _thinking(self, *, has_begun: bool = False) -> Region:
        exits: dict[str, Exit] = {CHANNEL_END: lambda: self._content(trims_start=True)}
        if self._tools:
            exits[CALL] = self._call
        return TextRegion(Thinking, exits, trims_start=True, has_begun=has_begun)

    def _channel(self) -> Region:
        return ChannelName(self._thinking, lambda: self._content(trims_start=True))

    def _after_stray(self) -> Region:
        return self._content(trims_start=True)

    def _call(self) -> Region:
        return GemmaCall(self._scope)


class ChannelName:
    """The word behind ``<|channel>``, up to the end of its line."""

    is_thinking = True

    def __init__(self, named: Exit, closed: Exit) -> None:
        self._exits = {"\n": named, CHANNEL_END: closed}
        self._literals = Literals(self._exits)

    def step(self, text: str, *, final: bool) -> Step:
        """Skip the name."""
        end, literal = self._literals.find(text, final=final)
        if literal is None:
            return Step(end)
        return Step(end + len(literal), region=self._exits[literal]())

    def close(self) -> list[ParsedEvent]:
        """Say nothing: a name is no thought."""
        return []


class GemmaCall:
    """From ``<|tool_call>`` to the ``<tool_call|>`` outside of strings."""

    is_thinking = False

    def __init__(self, scope: CallScope) -> None:
        self._scope = scope
        self._literals = Literals([QUOTE, CALL_END])
        self._text = ""
        self._is_quoted = False

    def step(self, text: str, *, final: bool) -> Step:
        """Take text up to the next mark."""
        end, literal = self._literals.find(text, final=final)
        self._text += text[:end]
        if literal is None:
            return Step(end)
        if literal == QUOTE or self._is_quoted:
            self._is_quoted ^= literal == QUOTE
            self._text += literal
            return Step(end + len(literal), region=self)
        events = self._told()
        if events is None:
            return Step(end + len(literal), [Content(CALL + self._text + literal)], self._scope.after_text())
        return Step(end + len(literal), events, self._scope.after_call())

    def close(self) -> list[ParsedEvent]:
        """End without the closing tag."""
        head, tag, _ = self._text.rpartition(CALL_END)  # a string that was never closed may hold it
        text, self._text = self._text, head if tag else self._text
        events = self._told()
        return [Content(CALL + text)] if events is None else events

    def _told(self) -> list[ParsedEvent] | None:
        found = _CALL.match(self._text)
        name = self._scope.offered_name(found[2]) if found else ""
        if found is None or not (found[1] or self._scope.knows(name)):
            return None
        arguments = read_arguments(self._text[found.end() :], self._scope.schema_of(name))
        return None if arguments is None else whole_call(self._scope, name, arguments)


def read_arguments(text: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """Return the arguments that the text between the name and the closing tag means; ``None`` if none.

    What a model gets slightly wrong is put right: an unclosed string or bracket, quoted keys, ordinary quotes,
    Python's words, and bare text where the schema wants a string.
    """
    if not text.strip():
        return {}
    try:
        reader = _Reader(text.strip(), parameters)
        value = reader.object(parameters, 0)
    except _Unreadable:
        return None
    return value


class _Unreadable(Exception):
    """No repair makes this an argument object."""


class _Reader:
    """A patient reader of the notation."""

    def __init__(self, text: str, parameters: dict[str, Any]) -> None:
        self._text = text
        self._place = 0
        keys = parameters.get("properties")
        self._known = list(cast("dict[str, object]", keys)) if isinstance(keys, dict) else []

    def object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Read ``{key:value,…}``."""
        self._open("{", depth)
        found: dict[str, Any] = {}
        while not self._closed("}"):
            key = self._key()
            found[key] = self._value(property_schema(schema, key), depth + 1)
            self._skip(",")
        return found

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        self._open("[", depth)
        items = schema.get("items")
        of_items = cast("dict[str, Any]", items) if isinstance(items, dict) else {}
        found: list[Any] = []
        while not self._closed("]"):
            found.append(self._value(of_items, depth + 1))
            self._skip(",")
        return found

    def _key(self) -> str:
        for mark in (QUOTE, '"', "'"):
            if self._skip(mark):
                key = self._until(mark)
                break
        else:
            key = self._until(":", keep=True)
        if not self._skip(":") or not key.strip():
            raise _Unreadable
        return key.strip()

    def _value(self, schema: dict[str, Any], depth: int) -> Any:
        if self._skip(QUOTE):
            is_closed = QUOTE in self._text[self._place :]
            text = self._until(QUOTE)
            return text if is_closed else text.removesuffix("}")
        self._space()
        head = self._text[self._place : self._place + 1]
        if head == "{":
            return self.object(schema, depth)
        if head == "[":
            return self._array(schema, depth)
        if head in ('"', "'"):
            quoted = self._quoted(head)
            if quoted is not None:
                return quoted
        return self._bare(schema)

    def _quoted(self, mark: str) -> str | None:
        """Read an ordinary string; ``None`` when it is none, so that its mark is part of a bare text."""
        pattern = rf"{mark}((?:[^{mark}\\]|\\.)*){mark}(?=\s*(?:[,}}\]]|$))"
        found = re.compile(pattern, re.DOTALL).match(self._text, self._place)
        if found is None:
            return None
        self._place = found.end()
        value = lenient_json(f'"{_with_double_quotes(found[1], mark)}"')
        return value if isinstance(value, str) else found[1]

    def _bare(self, schema: dict[str, Any]) -> Any:
        if is_text_only(schema):
            return self._bare_text()
        found = _BARE_END.search(self._text, self._place)
        stop = found.start() if found else len(self._text)
        text = self._text[self._place : stop].strip()
        self._place = stop
        if text in _WORDS:
            return _WORDS[text]
        if _NUMBER.fullmatch(text):
            return coerce(text, {"type": "number"})
        if not text:
            raise _Unreadable
        return coerce(text, schema)

    def _bare_text(self) -> str:
        """Read up to the next known key or the last bracket: such a text may hold commas."""
        keys = "|".join(map(re.escape, self._known))
        ends = [r"\}\s*$", *([rf",\s*(?:{keys})\s*:"] if keys else [])]
        found = re.compile("|".join(ends)).search(self._text, self._place)
        stop = found.start() if found else len(self._text)
        text = self._text[self._place : stop].strip()
        self._place = stop
        is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
        return text[1:-1] if is_quoted else text

    # ---- characters ----

    def _open(self, bracket: str, depth: int) -> None:
        if depth >= MAX_DEPTH or not self._skip(bracket):
            raise _Unreadable

    def _closed(self, bracket: str) -> bool:
        """Tell whether the bracket is closed; the end of the text closes all of them."""
        self._space()
        return self._place >= len(self._text) or self._skip(bracket)

    def _skip(self, text: str) -> bool:
        self._space()
        if not self._text.startswith(text, self._place):
            return False
        self._place += len(text)
        return True

    def _until(self, mark: str, *, keep: bool = False) -> str:
        stop = self._text.find(mark, self._place)
        stop = len(self._text) if stop < 0 else stop
        text = self._text[self._place : stop]
        self._place = min(len(self._text), stop + (0 if keep else len(mark)))
        return text

    def _space(self) -> None:
        while self._place < len(self._text) and self._text[self._place].isspace():
            self._place += 1


def _with_double_quotes(text: str, mark: str) -> str:
    return text if mark == '"' else text.replace("\\'", "'").replace('"', '\\"')


class Gemma4Format:
    """Channels and Gemma's call notation."""

    preserved_tokens: Sequence[str] = (
        *(CHANNEL, CHANNEL_END, CALL, CALL_END, RESPONSE, "<tool_response|>", QUOTE),
        *("<|tool>", "<tool|>", "<|think|>"),
    )
    supports_thinking = True
    supports_tools = True
    thinking_end = "\n" + CHANNEL_END

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Leave the history as it is: the templates write calls and results themselves."""
        return messages

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write calls in Gemma's notation, members at most once and in alphabetical order, as its templates do."""

        def call() -> str:
            return writer.rule(f"({either(_calls(wanted, writer))}) {writer.tag(CALL_END)}")

        thinking = [(f"{CHANNEL}thought\n", CHANNEL_END)]
        strays = (CALL_END, RESPONSE, CHANNEL, CHANNEL_END)
        TaggedGrammar(writer, wanted, thinking=thinking, calls={CALL: call}, unread=strays).write()

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser for one generation."""
        return GemmaParser(tools)


def _calls(wanted: Wanted, writer: GrammarWriter) -> list[str]:
    return [
        f"{quoted(f'call:{tool.name}')} {GemmaValues(tool.parameters, writer).object_of(tool.parameters)}"
        for tool in wanted.tools
    ]


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare Gemma 4's format."""
    return [
        ChatFormatDescriptor(
            name="gemma4",
            summary="Thought channels and call:NAME{…} calls (Gemma 4)",
            factory="jackfield_plugins.formats.gemma4:Gemma4Format",
            template_has=(CALL,),
            priority=80,
        )
    ]
