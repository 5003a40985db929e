"""Qwen3-Coder, Qwen 3.5 and Nemotron 3: calls as nested tags, every value as text.

    <tool_call>
    <function=get_weather>
    <parameter=city>
    Paris
    </parameter>
    </function>
    </tool_call>

A value may hold anything, ``</parameter>`` too: it ends at the one that another tag of the call follows. The
tool's schema says what a text means; values known to be strings are passed on as they arrive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jackfield.descriptors import ChatFormatDescriptor
from jackfield.hooks import hookimpl
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.calls import CallScope, GrowingCall
from jackfield.text.coercion import coerce, is_text_only, property_schema
from jackfield.text.contract import Content, FormatParser, ParsedEvent
from jackfield.text.grammars import GrammarWriter, Wanted, quoted
from jackfield.text.literals import Literals
from jackfield.text.raw_values import RawValue
from jackfield.text.regions import Region, Step
from jackfield.text.tagged import TagDialect, TaggedParser
from jackfield.text.tagged_grammar import TaggedGrammar, either

CALL, CALL_END = "<tool_call>", "</tool_call>"
FUNCTION, FUNCTION_END = "<function=", "</function>"
PARAMETER, PARAMETER_END = "<parameter=", "</parameter>"
VALUE_CLOSING = f"\n{PARAMETER_END}\n"
_VALUE_ENDS = (PARAMETER_END, FUNCTION_END, CALL_END)
_AFTER_VALUE = (PARAMETER, FUNCTION_END, CALL_END)
_SPACE = re.compile(r"\s*")


class XmlCall:
    """From ``<tool_call>``, or from ``<function=`` where the model left that out.

    Args:
        opening: The tag that led here.
        is_bare: It was ``<function=``, so only the name of a known tool makes it a call.
    """

    is_thinking = False

    def __init__(self, scope: CallScope, opening: str, *, is_bare: bool = False) -> None:
        self._scope = scope
        self._raw = opening
        self._is_bare = is_bare
        self._wants_name = is_bare

    def step(self, text: str, *, final: bool) -> Step:
        """Look for the function's name."""
        watched = Literals([">", "\n", "<"] if self._wants_name else [FUNCTION, CALL_END, CALL])
        end, tag = watched.find(text, final=final)
        if tag is None and self._wants_name:
            return Step(self._keep(text)) if final else Step(0)
        self._raw += text[:end]
        if tag is None:
            return Step(end)
        if tag == CALL_END:
            return Step(end + len(tag), [Content(self._raw + tag)], self._scope.after_text())
        self._raw += tag
        if not self._wants_name:
            self._wants_name = tag == FUNCTION
            return Step(end + len(tag), region=self)
        return self._named(text[:end].strip(), end, tag)

    def close(self) -> list[ParsedEvent]:
        """Give back what never became a call."""
        return [Content(self._raw)]

    def _named(self, name: str, end: int, tag: str) -> Step:
        if not name or (self._is_bare and not self._scope.knows(name)):
            return Step(end + len(tag), [Content(self._raw)], self._scope.after_text())
        function = XmlFunction(self._scope, self._scope.offered_name(name))
        used = end if tag == "<" else end + len(tag)
        return Step(used, [function.started], function)

    def _keep(self, text: str) -> int:
        self._raw += text
        return len(text)


class XmlFunction:
    """Inside ``<function=NAME>``: parameters one after the other."""

    is_thinking = False

    def __init__(self, scope: CallScope, name: str) -> None:
        self._scope = scope
        self._call = GrowingCall(scope, name)
        self._key: str | None = None
        self._schema: dict[str, Any] = {}
        self._sent: str | None = None
        self._between = Literals([PARAMETER, FUNCTION_END, CALL_END, CALL])
        self.started = self._call.started

    def step(self, text: str, *, final: bool) -> Step:
        """Take one tag or one value."""
        if self._key is not None:
            return self._value_step(text, self._key, final=final)
        end, tag = self._between.find(text, final=final)
        if tag is None:
            return Step(end)
        used = end + len(tag)
        if tag == PARAMETER:
            return self._key_step(text, end, final=final)
        events = self._call.end()
        if tag == FUNCTION_END:
            return Step(used, events, self)
        return Step(used, events, XmlCall(self._scope, CALL) if tag == CALL else self._scope.after_call())

    def close(self) -> list[ParsedEvent]:
        """End where the text ends: what there is of the call stands."""
        return self._call.end()

    # ---- parameters ----

    def _key_step(self, text: str, start: int, *, final: bool) -> Step:
        name_start = start + len(PARAMETER)
        end = text.find(">", name_start)
        if end < 0:
            return Step(len(text) if final else start)
        self._key = text[name_start:end].strip()
        self._schema = property_schema(self._call.parameters, self._key)
        self._sent = None
        return Step(end + 1, region=self)

    def _value_step(self, text: str, key: str, *, final: bool) -> Step:
        # one newline after the opening tag belongs to the tag
        lead = 1 if text.startswith("\n") and self._sent is None else 0
        found = _value_end(text, lead, final=final)
        if found is not None:
            stop, used = found
            return Step(used, self._value_events(key, text[lead:stop]), self)
        if not is_text_only(self._schema):
            return Step(0)
        return self._partial_text(text, key, lead)

    def _partial_text(self, text: str, key: str, lead: int) -> Step:
        """Pass on what is surely part of a string."""
        end, _ = Literals(_VALUE_ENDS).find(text, final=False)
        end = end - 1 if end > 0 and text[end - 1] == "\n" else end
        if end <= lead:
            return Step(0)
        head = "" if self._sent is not None else self._call.head(key) + '"'
        self._sent = (self._sent or "") + text[lead:end]
        return Step(end, [self._call.write(head + _json(text[lead:end])[1:-1])])

    def _value_events(self, key: str, rest: str) -> list[ParsedEvent]:
        rest = rest.removesuffix("\n")
        if self._sent is not None:
            event = self._call.write(_json(rest)[1:-1] + '"')
        else:
            value = coerce(rest, self._schema)
            event = self._call.write(self._call.head(key) + _json(value))
        self._key = None
        return [event]


def _value_end(text: str, start: int, *, final: bool) -> tuple[int, int] | None:
    """Return where a value stops and where the text goes on; ``None`` while that is open."""
    limit = text.find(CALL_END, start)
    plain: tuple[int, int] | None = None
    place = text.find(PARAMETER_END, start)
    while place >= 0 and (limit < 0 or place < limit):
        after = place + len(PARAMETER_END)
        follower = _SPACE.match(text, after).end()  # type: ignore[union-attr]  # matches the empty text too
        if text.startswith(_AFTER_VALUE, follower):
            return place, after
        if not final and any(tag.startswith(text[follower:]) for tag in _AFTER_VALUE):
            return None
        plain = plain or (place, after)
        place = text.find(PARAMETER_END, after)
    if plain is not None and (limit >= 0 or final):
        return plain
    if limit < 0 and not final:
        return None
    unclosed = text.rfind(FUNCTION_END, start, limit if limit >= 0 else len(text))
    stop = unclosed if unclosed >= 0 else limit if limit >= 0 else len(text)
    return stop, stop


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _call(scope: CallScope) -> Region:
    return XmlCall(scope, CALL)


def _bare(scope: CallScope) -> Region:
    return XmlCall(scope, FUNCTION, is_bare=True)


def _bare_line(scope: CallScope) -> Region:
    return XmlCall(scope, "\n" + FUNCTION, is_bare=True)


DIALECT = TagDialect(
    (("<think>", "</think>"),),
    calls={CALL: _call, "\n" + FUNCTION: _bare_line},
    leading_calls={FUNCTION: _bare},
)


class QwenXmlFormat:
    """Calls as nested tags."""

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
        """Write calls as nested tags, each parameter at most once and in the schema's order."""

        def call() -> str:
            return writer.rule(f'"\\n"? {quoted(FUNCTION)} {_functions(wanted, writer)}')

        def bare() -> str:
            return _functions(wanted, writer)

        grammar = TaggedGrammar(
            writer,
            wanted,
            thinking=DIALECT.thinking,
            calls={CALL: call},
            loose_calls={"\n" + FUNCTION: bare},
        )
        grammar.write()

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser for one generation."""
        return TaggedParser(DIALECT, tools)


def _functions(wanted: Wanted, writer: GrammarWriter) -> str:
    """Return the rule of a call from its name on."""
    writer.closers.append(VALUE_CLOSING)
    bodies = [
        f"{quoted(f'{tool.name}>{chr(10)}')} {_parameters(tool.parameters, writer)}" for tool in wanted.tools
    ]
    end = f'{quoted(FUNCTION_END)} "\\n"? {writer.tag(CALL_END)}'
    return writer.rule(f"({either(bodies)}) {end}", "function")


def _parameters(parameters: Mapping[str, Any], writer: GrammarWriter) -> str:
    properties: dict[str, Any] = parameters.get("properties") or {}
    if not properties:
        return "" if parameters.get("additionalProperties") is False else _any_parameters(writer)
    required = parameters.get("required") or ()
    written = [
        f"{quoted(f'{PARAMETER}{key}>{chr(10)}')} {_value(property_schema(parameters, key), parameters, writer)}"
        for key in properties
    ]
    return " ".join(
        part if key in required else f"({part})?" for key, part in zip(properties, written, strict=True)
    )


def _any_parameters(writer: GrammarWriter) -> str:
    name = writer.terminal(r"/[a-zA-Z_][a-zA-Z0-9_.-]{0,63}/")
    return f'({quoted(PARAMETER)} {name} ">\\n" {_value({}, {}, writer)})*'


def _value(schema: dict[str, Any], root: Mapping[str, Any], writer: GrammarWriter) -> str:
    value = RawValue.of(schema, root)
    options: list[str] = []
    if value.texts:
        options.append(writer.free_to(VALUE_CLOSING, PARAMETER_END, CALL_END, text=value.pattern))
    if value.schema is not None:
        options.append(f"{writer.json(value.schema)} {quoted(VALUE_CLOSING)}")
    return writer.rule(either(options), "value")


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare the format of nested tags."""
    return [
        ChatFormatDescriptor(
            name="qwen-xml",
            summary="<think> blocks and <function=…> calls (Qwen3-Coder, Qwen 3.5, Nemotron 3)",
            factory="jackfield_plugins.formats.qwen_xml:QwenXmlFormat",
            template_has=(CALL, FUNCTION, PARAMETER),
            priority=70,
        )
    ]
