"""Llama 3.1, 3.2 and 3.3: the whole turn is a JSON object, with or without ``<|python_tag|>`` in front.

    {"name": "get_weather", "parameters": {"city": "Paris"}}
    <|python_tag|>brave_search.call(query="weather in Paris")

Nothing marks a bare object as a call, so it is one only if it names an offered tool.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jackfield.descriptors import ChatFormatDescriptor
from jackfield.hooks import hookimpl
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.calls import CallScope, lenient_json, whole_call
from jackfield.text.contract import Content, FormatParser, ParsedEvent
from jackfield.text.grammars import FORM, GrammarWriter, Wanted, quoted, regex_of
from jackfield.text.histories import one_call_per_message
from jackfield.text.json_calls import CallObject
from jackfield.text.regions import Region, Step
from jackfield.text.tagged import TagDialect, TaggedParser
from jackfield.text.tagged_grammar import SPACE, TaggedGrammar, either, json_call

PYTHON = "<|python_tag|>"
_BUILT_IN = re.compile(r"\s*([\w.]+)\.call\((.*)\)\s*", re.DOTALL)
_ARGUMENT = re.compile(r"\s*(\w+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^,\"]+?)\s*(?:,|$)")


class BareCall:
    """An object that may be a call.

    Args:
        lead: What led here, and is part of the text when it is no call.
    """

    is_thinking = False

    def __init__(self, scope: CallScope, lead: str, *, must_be_known: bool) -> None:
        self._scope = scope
        self._raw = lead
        self._must_be_known = must_be_known
        self._call = CallObject(scope, must_be_known=must_be_known)
        self._call.take(lead[lead.find("{") :] if "{" in lead else "")

    def step(self, text: str, *, final: bool) -> Step:
        """Take the object while it can be a call."""
        used, events = self._call.take(text)
        self._raw += text[:used]
        if self._call.is_complete:
            return Step(used, events, Separator(self._scope))
        if self._call.has_failed:
            return Step(used, [*events, *self.close()], self._scope.after_text())
        return Step(used, events)

    def close(self) -> list[ParsedEvent]:
        """End before the object is whole."""
        if self._call.is_complete:
            return []
        started = self._call.arguments
        return started.complete() if started.has_started else [Content(self._raw)]


class Separator:
    """Between two objects: a semicolon or a line's end."""

    is_thinking = False

    def __init__(self, scope: CallScope) -> None:
        self._scope = scope

    def step(self, text: str, *, final: bool) -> Step:
        """Go on with a further call, or with text."""
        rest = text.lstrip("; \t\r\n")
        used = len(text) - len(rest)
        if not rest:
            return Step(used)
        if rest.startswith("{"):
            return Step(used + 1, region=BareCall(self._scope, "{", must_be_known=True))
        return Step(used, region=self._scope.after_call())

    def close(self) -> list[ParsedEvent]:
        """Say nothing more."""
        return []


class PythonTag:
    """Behind ``<|python_tag|>``: an object, a built-in tool, or code."""

    is_thinking = False

    def __init__(self, scope: CallScope) -> None:
        self._scope = scope
        self._text = ""

    def step(self, text: str, *, final: bool) -> Step:
        """Tell an object from code."""
        rest = text.lstrip() if not self._text.strip() else text
        if not self._text.strip() and rest.startswith("{"):
            used = len(text) - len(rest) + 1
            return Step(used, region=BareCall(self._scope, PYTHON + "{", must_be_known=False))
        self._text += text
        return Step(len(text))

    def close(self) -> list[ParsedEvent]:
        """Read a built-in tool's call; code is given back as text."""
        found = _BUILT_IN.fullmatch(self._text)
        if found is None:
            return [Content(self._text)] if self._text.strip() else []
        pairs = {key: lenient_json(value) for key, value in _ARGUMENT.findall(found[2])}
        return whole_call(self._scope, self._scope.offered_name(found[1]), pairs)


def _bare(scope: CallScope) -> Region:
    return BareCall(scope, "{", must_be_known=True)


DIALECT = TagDialect(calls={PYTHON: PythonTag}, leading_calls={"{": _bare})


class Llama3Format:
    """Bare JSON calls."""

    preserved_tokens: Sequence[str] = (PYTHON,)
    supports_thinking = False
    supports_tools = True
    thinking_end = ""

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Give each call a message of its own: the template takes no more."""
        return one_call_per_message(messages)

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write a turn that is calls, or text that does not look like one."""
        if not wanted.tools:
            TaggedGrammar(writer, wanted).write()
            return
        calls = _calls(wanted, writer)
        if wanted.must_call or wanted.has_form:
            answers = [calls] if wanted.must_call else [calls, FORM]
        else:
            answers = [calls, writer.terminal(_no_call(wanted))]
        space = "" if wanted.is_continued else f"{writer.terminal(SPACE)}?"
        writer.rules["start"] = f"{space} ({either(answers)})"

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser for one generation."""
        return TaggedParser(DIALECT, tools)


def _calls(wanted: Wanted, writer: GrammarWriter) -> str:
    # beside free text a head must be one piece, beside a form of JSON it must be cut where that is
    call = json_call(writer, wanted.tools, "parameters", is_cut=wanted.has_form)
    more = f'(("; " | "\\n") {call})*' if wanted.is_parallel else ""
    return writer.rule(f"{writer.tag(PYTHON)}? {call} {more}")


def _no_call(wanted: Wanted) -> str:
    """Return the pattern of text in which no object names an offered tool, nor follows the tag."""
    names = "|".join(regex_of(quoted(tool.name)) for tool in wanted.tools)
    is_call = rf"/(?s:\s*\{{.*\"name\"\s*:\s*({names}).*)/"
    is_tagged = f"/(?s:.*{regex_of(PYTHON)}.*)/"
    return f"/(?s:.*)/ & ~{is_call} & ~{is_tagged}"


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare Llama 3's format."""
    return [
        ChatFormatDescriptor(
            name="llama3",
            summary="Bare JSON calls (Llama 3.1, 3.2, 3.3)",
            factory="jackfield_plugins.formats.llama3:Llama3Format",
            template_has=("ipython",),
            priority=20,
        )
    ]
