"""Reading ``{"name": …, "arguments": {…}}`` as it arrives, with the arguments passed on at once."""

from __future__ import annotations

import json
from typing import Any

from jackfield.text.calls import CallScope, arguments_of, lenient_json, named_calls, whole_call
from jackfield.text.contract import ArgumentsDelta, CallDone, CallStarted, Content, ParsedEvent
from jackfield.text.json_prefix import JsonPrefix
from jackfield.text.literals import Literals
from jackfield.text.regions import Step

__all__ = ["ArgumentStream", "CallObject", "JsonCallList", "TaggedJsonCall"]

ARGUMENT_KEYS = ("arguments", "parameters")
_SPACE = " \t\r\n"


class ArgumentStream:
    """One call's events, while its argument object arrives.

    Nothing is said before the object has its first key, or its end: up to there what looked like a call can
    still be given back as text.
    """

    def __init__(self, scope: CallScope) -> None:
        self._scope = scope
        self._index: int | None = None
        self._num_sent = 0
        self.name: str | None = None
        self.object: JsonPrefix | None = None
        self.is_done = False

    @property
    def has_started(self) -> bool:
        """Whether the call was announced, so that it can no longer be given back."""
        return self._index is not None

    def begin_object(self) -> JsonPrefix:
        """Return what takes the argument text."""
        self.object = JsonPrefix()
        return self.object

    def advance(self) -> list[ParsedEvent]:
        """Return the events for what has arrived since."""
        if self.name is None or self.object is None or self.is_done:
            return []
        if self._index is None and not (self.object.has_pair or self.object.is_complete):
            return []
        events: list[ParsedEvent] = []
        if self._index is None:
            self._index = self._scope.begin()
            events.append(CallStarted(self._index, self.name))
        if len(self.object.text) > self._num_sent:
            events.append(ArgumentsDelta(self._index, self.object.text[self._num_sent :]))
            self._num_sent = len(self.object.text)
        if self.object.is_complete:
            events.append(self._done(self._index, self.name, self.object.text))
        return events

    def complete(self) -> list[ParsedEvent]:
        """End a call that was announced and broke off: close what is open."""
        if self.object is None or self._index is None or self.name is None or self.is_done:
            return []
        closing = self.object.closing()
        done = self._done(self._index, self.name, self.object.text + closing)
        return [ArgumentsDelta(self._index, closing), done]

    def _done(self, index: int, name: str, text: str) -> CallDone:
        self.is_done = True
        arguments: dict[str, Any] = json.loads(text)
        return CallDone(index, name, arguments)


class CallObject:
    """Takes the text of one call object.

    Args:
        must_be_known: An object that names no offered tool is no call.

    Attributes:
        text: What was taken, as it came.
        is_complete: The object is whole and was a call; all its events were returned.
        has_failed: It is no call object; nothing more is taken.
    """

    def __init__(self, scope: CallScope, *, must_be_known: bool = False) -> None:
        self.text = ""
        self.is_complete = False
        self.has_failed = False
        self.arguments = ArgumentStream(scope)
        self._scope = scope
        self._must_be_known = must_be_known
        self._key = ""
        self._value: JsonPrefix | None = None
        self._fields: dict[str, object] = {}
        self._expected = "{"

    def take(self, text: str) -> tuple[int, list[ParsedEvent]]:
        """Take characters until the object is whole or cannot be a call."""
        used = 0
        events: list[ParsedEvent] = []
        while used < len(text) and not (self.is_complete or self.has_failed):
            taken = self._take_value(text[used:]) if self._value is not None else self._take_char(text[used])
            self.text += text[used : used + taken]
            used += taken
            events += self.arguments.advance()
            if self._expected == "end" and not self.has_failed:
                events += self._finish()
        return used, events

    def _take_char(self, char: str) -> int:
        if char in _SPACE:
            return 1
        expected = self._expected
        if expected == "{" and char == "{":
            self._expected = "key or }"
        elif char == '"' and expected in ("key", "key or }"):
            self._begin_value(is_key=True)
            return 0
        elif expected == ":" and char == ":":
            self._expected = "value"
        elif expected == "value":
            self._begin_value(is_key=False, is_object=char == "{")
            return 0
        elif expected == ", or }" and char == ",":
            self._expected = "key"
        elif char == "}" and expected in (", or }", "key or }"):
            self._expected = "end"
        else:
            self.has_failed = True
            return 0
        return 1

    def _begin_value(self, *, is_key: bool, is_object: bool = False) -> None:
        self._expected = "key text" if is_key else "value text"
        streams = self._expected == "value text" and self._key in ARGUMENT_KEYS and is_object
        self._value = self.arguments.begin_object() if streams else JsonPrefix()

    def _take_value(self, text: str) -> int:
        assert self._value is not None
        used = self._value.take(text)
        if self._value.has_failed:
            self.has_failed = True
        elif self._value.is_complete:
            self._end_value(json.loads(self._value.text))
        return used

    def _end_value(self, value: object) -> None:
        self._value = None
        if self._expected == "key text":
            self._key = str(value)
            self._expected = ":"
            return
        self._fields[self._key] = value
        self._expected = ", or }"
        if self._key == "name" and isinstance(value, str) and value and self.arguments.name is None:
            self.arguments.name = value
            self.has_failed = self._must_be_known and not self._scope.knows(value)

    def _finish(self) -> list[ParsedEvent]:
        """Return what is left to say of the whole object."""
        if self.arguments.is_done:
            self.is_complete = True
            return []
        given = next((self._fields[key] for key in ARGUMENT_KEYS if key in self._fields), None)
        arguments = arguments_of(given)
        if self.arguments.name is None or arguments is None or self.arguments.has_started:
            self.has_failed = True
            return []
        self.is_complete = True
        return whole_call(self._scope, self.arguments.name, arguments)


class TaggedJsonCall:
    """The region of one call object between tags.

    Args:
        opening: The tag that led here; part of the text when this turns out to be no call.
        closing: The tag that ends it, which may be missing.
    """

    is_thinking = False

    def __init__(self, scope: CallScope, opening: str, closing: str) -> None:
        self._scope = scope
        self._opening = opening
        self._closing = closing
        self._tags = Literals([opening, closing])
        self._call = CallObject(scope)
        self._rest = ""

    def step(self, text: str, *, final: bool) -> Step:
        """Take the object, then everything up to the closing tag, or the next opening one."""
        used, events = self._call.take(text)
        if not (self._call.is_complete or self._call.has_failed):
            return Step(used, events)
        end, tag = self._tags.find(text[used:], final=final)
        self._rest += text[used : used + end]
        if tag is None:
            return Step(used + end, events)
        ended = self._ended(tag if tag == self._closing else "")
        after = self._scope.after_text if isinstance(_last(ended), Content) else self._scope.after_call
        next_region = self._next() if tag == self._opening else after()
        return Step(used + end + len(tag), [*events, *ended], next_region)

    def close(self) -> list[ParsedEvent]:
        """End without the closing tag."""
        return self._ended("") if not self._call.is_complete else []

    def _next(self) -> TaggedJsonCall:
        return TaggedJsonCall(self._scope, self._opening, self._closing)

    def _ended(self, tag: str) -> list[ParsedEvent]:
        if self._call.is_complete:
            return []
        if self._call.arguments.has_started:
            broken = self._rest.strip()
            return [*self._call.arguments.complete(), *([Content(broken)] if broken else [])]
        return self._repaired(tag)

    def _repaired(self, tag: str) -> list[ParsedEvent]:
        """Return the calls that a more patient reading finds, or the text as it came."""
        text = self._call.text + self._rest
        body, _, _ = text.partition(self._closing)
        may_lack_ends = any(f'"{key}"' in body for key in ARGUMENT_KEYS)
        for attempt in (body, body + "}", body + "}}") if may_lack_ends else (body,):
            calls = named_calls(lenient_json(attempt))
            if calls is not None:
                return [
                    event for name, arguments in calls for event in whole_call(self._scope, name, arguments)
                ]
        return [Content(self._opening + text + tag)]


class JsonCallList:
    """The region of a list of call objects, or of one: read whole, then told.

    Args:
        opening: The tag that led here; part of the text when this turns out to be no call.
        closing: The tag that ends it, which may be missing; empty when there is none.
    """

    is_thinking = False

    def __init__(self, scope: CallScope, opening: str, closing: str = "") -> None:
        self._scope = scope
        self._opening = opening
        self._closing = closing
        self._tags = Literals([closing] if closing else [])
        self._list = JsonPrefix()
        self._text = ""
        self._is_told = False

    def step(self, text: str, *, final: bool) -> Step:
        """Take the list, then everything up to the closing tag."""
        used = 0 if self._list.has_failed else self._list.take(text)
        self._text += text[:used]
        if not (self._list.is_complete or self._list.has_failed):
            return Step(used)
        events = [] if self._is_told or self._list.has_failed else self._told()
        if not self._closing:
            region = self._scope.after_text() if not self._is_told else self._scope.after_call()
            return Step(used, events or self.close(), region)
        end, tag = self._tags.find(text[used:], final=final)
        self._text += text[used : used + end]
        if tag is None:
            return Step(used + end, events)
        if self._is_told:
            return Step(used + end + len(tag), events, self._scope.after_call())
        return Step(
            used + end + len(tag), [Content(f"{self._opening}{self._text}{tag}")], self._scope.after_text()
        )

    def close(self) -> list[ParsedEvent]:
        """End without the closing tag."""
        return [] if self._is_told else [Content(self._opening + self._text)]

    def _told(self) -> list[ParsedEvent]:
        calls = named_calls(json.loads(self._list.text))
        self._is_told = calls is not None
        return [
            event for name, arguments in calls or () for event in whole_call(self._scope, name, arguments)
        ]


def _last(events: list[ParsedEvent]) -> ParsedEvent | None:
    return events[-1] if events else None
