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
from jackfield.text.histories import one_call_per_message
from jackfield.text.json_calls import ArgumentStream
from jackfield.text.literals import Literals
from jackfield.text.regions import Exit, Region, RegionParser, Step, TextRegion

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

    def parser(self, tools: Sequence[ToolDefinition], *, thinking: bool) -> FormatParser:
        """Return a parser for one generation."""
        return HarmonyParser(tools)


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
