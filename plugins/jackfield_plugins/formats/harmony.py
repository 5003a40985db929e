"""Harmony, the format of gpt-oss: messages with a header that says where each body goes.

    <|channel|>analysis<|message|>reasoning<|end|>
    <|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{…}<|call|>
    <|start|>assistant<|channel|>final<|message|>answer<|return|>

The prompt ends inside a header. ``<|call|>`` and ``<|return|>`` end the generation, ``<|end|>`` only a message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from jackfield.descriptors import ChatFormatDescriptor
from jackfield.hooks import hookimpl
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.calls import CallScope, arguments_of, lenient_json, whole_call
from jackfield.text.contract import Content, FormatParser, ParsedEvent, Thinking
from jackfield.text.grammars import FORM, GrammarWriter, Wanted, quoted
from jackfield.text.histories import one_call_per_message
from jackfield.text.json_calls import ArgumentStream
from jackfield.text.literals import Literals
from jackfield.text.regions import Exit, Region, RegionParser, Step, TextRegion
from jackfield.text.tagged_grammar import either

START, CHANNEL, CONSTRAIN, MESSAGE = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"
END, CALL, RETURN = "<|end|>", "<|call|>", "<|return|>"
Channel = type[Content] | type[Thinking]
_RECIPIENT = re.compile(r"to=([^\s<]+)")
_CHANNEL_WORD = re.compile(re.escape(CHANNEL) + r"\s*(\w+)")


@dataclass(frozen=True)
class Header:
    """What a message's header says; ``recipient`` is empty for text meant for the user."""

    channel: str
    recipient: str

    @staticmethod
    def of(text: str) -> Header:
        """Read the text between ``<|start|>`` and ``<|message|>``; of several channels the last counts."""
        recipients = [name for name in _RECIPIENT.findall(text) if name != "assistant"]
        channels = _CHANNEL_WORD.findall(text)
        return Header(channels[-1] if channels else "", recipients[-1] if recipients else "")


class HarmonyParser(RegionParser):
    """Reads headers and sends bodies where they belong."""

    def __init__(self, tools: Sequence[ToolDefinition]) -> None:
        self._scope = CallScope(tools, after_call=self.header, after_text=self.header)
        self._bodies: list[tuple[Channel, TextRegion]] = []
        super().__init__(self.header())

    def prime(self, prompt_tail: str) -> None:
        """Take the prompt's last text: it ends in a header, or in the answer to go on with."""
        _, start, last = prompt_tail.rpartition(START)
        header, message, begun = last.partition(MESSAGE)
        if message:
            self.enter(self.body(header, has_begun=bool(begun.strip())))
        elif start:
            self.enter(HeaderRegion(self, header))

    def header(self) -> Region:
        """Return the region of the next header."""
        return HeaderRegion(self, "")

    def body(self, text: str, *, has_begun: bool = False) -> Region:
        """Return the region of the body that such a header announces."""
        header = Header.of(text)
        if header.recipient and self._scope.tools:
            return CallBody(self._scope, header, self.exits())
        channel: Channel = Thinking if header.channel == "analysis" else Content
        has_spoken = any(kind is channel and earlier.has_spoken for kind, earlier in self._bodies)
        lead = "\n\n" if has_spoken else ""
        region = TextRegion(channel, self.exits(), trims_start=True, has_begun=has_begun, lead=lead)
        self._bodies.append((channel, region))
        return region

    def exits(self) -> dict[str, Exit]:
        """Return what ends a body: its own tags, and those of a next message that a model forgot to start."""
        ends = dict.fromkeys((END, CALL, RETURN, START), self.header)
        return {**ends, CHANNEL: lambda: HeaderRegion(self, CHANNEL)}


class HeaderRegion:
    """From ``<|start|>`` to ``<|message|>``; ``text`` is what the prompt holds of it."""

    is_thinking = False

    def __init__(self, parser: HarmonyParser, text: str) -> None:
        self._parser = parser
        self._given = text
        self._text = text
        self._literals = Literals([MESSAGE, START, END, CALL, RETURN])

    def step(self, text: str, *, final: bool) -> Step:
        """Collect the header."""
        end, literal = self._literals.find(text, final=final)
        self._text += text[:end]
        if literal is None:
            return Step(end)
        used = end + len(literal)
        return Step(
            used, region=self._parser.body(self._text) if literal == MESSAGE else self._parser.header()
        )

    def close(self) -> list[ParsedEvent]:
        """Give back text that no header followed, so that nothing visible is lost."""
        text = self._text.removeprefix(self._given).strip()
        is_header = not text or CHANNEL in self._text or text.startswith(("assistant", "to="))
        return [] if is_header else [Content(text)]


class CallBody:
    """The body of a message to a tool."""

    is_thinking = False

    def __init__(self, scope: CallScope, header: Header, exits: dict[str, Exit]) -> None:
        self._scope = scope
        self._name = scope.offered_name(header.recipient.removeprefix("functions."))
        self._exits = exits
        self._literals = Literals(exits)
        self._stream = ArgumentStream(scope)
        self._stream.name = self._name
        self._object = self._stream.begin_object()
        self._text = ""

    def step(self, text: str, *, final: bool) -> Step:
        """Pass the arguments on while they are JSON; then look for the end."""
        if not (self._object.is_complete or self._object.has_failed):
            return self._json_step(text)
        end, literal = self._literals.find(text, final=final)
        self._text += text[:end]
        if literal is None:
            return Step(end)
        return Step(end + len(literal), self.close(), self._exits[literal]())

    def close(self) -> list[ParsedEvent]:
        """End the call, whatever its body is."""
        if self._stream.is_done:
            return []
        if self._stream.has_started:
            return self._stream.complete()
        return self._read_whole()

    def _json_step(self, text: str) -> Step:
        # no tag is valid JSON outside of a string, and an object's strings may well spell tags
        used = self._object.take(text)
        self._text += text[:used]
        events = self._stream.advance() if self._text.lstrip().startswith("{") else []
        is_over = self._object.is_complete or self._object.has_failed
        return Step(used, events, self if is_over else None)

    def _read_whole(self) -> list[ParsedEvent]:
        """Read a body that is no object: the code for a built-in tool, or nothing at all."""
        arguments = arguments_of(lenient_json(self._text)) if self._text.strip() else {}
        if arguments:
            return whole_call(self._scope, self._name, arguments)
        if not self._text.strip():
            return whole_call(self._scope, self._name, {})
        if self._scope.knows(self._name):
            return [Content(self._text.strip())]
        return whole_call(self._scope, self._name, {"code": self._text.strip()})


class HarmonyFormat:
    """Messages with channels and recipients."""

    preserved_tokens: Sequence[str] = (START, CHANNEL, CONSTRAIN, MESSAGE, END, CALL, RETURN)
    supports_thinking = True
    supports_tools = True
    thinking_end = f"{END}{START}assistant{CHANNEL}final{MESSAGE}"

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Give each call a message of its own, with one text at most: the template takes no more."""
        return [_with_one_text(message) for message in one_call_per_message(messages)]

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write messages: thoughts and preambles, then an answer or calls."""
        HarmonyGrammar(wanted, writer).write()

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser for one generation."""
        return HarmonyParser(tools)


class HarmonyGrammar:
    """Writes the rules; the prompt has begun the first message, and may have begun its body."""

    def __init__(self, wanted: Wanted, writer: GrammarWriter) -> None:
        self._wanted = wanted
        self._writer = writer
        self._tags = (START, CHANNEL, MESSAGE, END, CALL)
        self._next = f'{writer.tag(START)} "assistant"'

    def write(self) -> None:
        """Write ``start``."""
        self._writer.closers.append(END)
        rules = self._writer.rules
        rules["message"] = either([*self._free_messages(), *self._last_messages()])
        begun = Header.of(self._wanted.tail.rpartition(START)[2])
        has_body = self._wanted.tail.rpartition(START)[2].count(MESSAGE) > 0
        if not has_body:
            rules["start"] = "message" if not begun.channel else f"{self._body_of(begun.channel)}"
        elif begun.channel == "analysis":
            rules["start"] = self._body_of("analysis").removeprefix(self._writer.tag(MESSAGE))
        else:
            rules["start"] = FORM if self._wanted.has_form else self._writer.free(*self._tags)

    def _free_messages(self) -> list[str]:
        """Messages that others follow: thoughts, and words before a call where a form does not forbid them."""
        is_free = bool(self._wanted.tools) and not (self._wanted.has_form or self._wanted.must_call)
        channels = ["analysis", *(["commentary"] if is_free else [])]
        return [f"{self._channel(channel)} {self._body_of(channel)}" for channel in channels]

    def _last_messages(self) -> list[str]:
        calls = [self._calls()] if self._wanted.tools else []
        if self._wanted.must_call:
            return calls
        return [f"{self._channel('final')} {self._body_of('final')}", *calls]

    def _body_of(self, channel: str) -> str:
        message = self._writer.tag(MESSAGE)
        if channel != "final":
            text = self._writer.free_to(END, *(tag for tag in self._tags if tag != END))
            return f"{message} {text} {self._next} message"
        if self._wanted.has_form:
            return f'(" "? {self._writer.tag(CONSTRAIN)} "json")? {message} {FORM}'
        return f"{message} {self._writer.free(*self._tags)}"

    def _calls(self) -> str:
        calls = [
            f"({self._recipient(tool.name)}) {self._writer.tag(MESSAGE)} {self._writer.json(tool.parameters)}"
            for tool in self._wanted.tools
        ]
        call = self._writer.rule(either(calls), "call")
        return f"{call} ({self._writer.tag(END)} {self._next} {call})*" if self._wanted.is_parallel else call

    def _recipient(self, name: str) -> str:
        """Return a call's header, the recipient in front of the channel or behind it."""
        to = quoted(f" to=functions.{name}")
        kind = f'(" "? {self._writer.tag(CONSTRAIN)} "json" | " json")?'
        return f"{self._channel('commentary')} {to} {kind} | {to} {self._channel('commentary')} {kind}"

    def _channel(self, name: str) -> str:
        return f"{self._writer.tag(CHANNEL)} {quoted(name)}"


def _with_one_text(message: Message) -> Message:
    if not (message.tool_calls and message.content and message.thinking):
        return message
    return replace(message, content="", thinking=f"{message.thinking}\n\n{message.content}")


@hookimpl
def jackfield_chat_formats() -> Sequence[ChatFormatDescriptor]:
    """Declare Harmony."""
    return [
        ChatFormatDescriptor(
            name="harmony",
            summary="Channels and recipients (gpt-oss)",
            factory="jackfield_plugins.formats.harmony:HarmonyFormat",
            template_has=(CHANNEL,),
            priority=90,
        )
    ]
