"""What a chat template can do, learnt by rendering small conversations and looking for their words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from jackfield.errors import RequestError

__all__ = ["ProbeRender", "TemplateCapabilities", "probe"]

log = logging.getLogger(__name__)

ReasoningStyle = Literal["", "reasoning_content", "thinking", "part"]
# renders messages, tools and variables; raises RequestError as the template does
ProbeRender = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None, dict[str, Any]], str]

USER, ANSWER, SYSTEM, RESULT, THOUGHT = (
    "probe-user",
    "probe-answer",
    "probe-system",
    "probe-result",
    "probe-why",
)
TOOL, KEY, VALUE = "probe_tool", "probe_key", "probe_value"
CALL_ID = "probe0001"  # nine characters, which Mistral's templates insist on


@dataclass(frozen=True)
class TemplateCapabilities:
    """How to offer a conversation to a template.

    Attributes:
        needs_parts: Content must be a list of parts. ``takes_parts``: it may be one.
        takes_system: A first system message is shown. ``takes_late_system``: a later one too.
        takes_developer: Knows the role ``developer``.
        must_alternate: Two user messages in a row are refused.
        takes_tools: Shows the tools it is given.
        takes_calls: Shows calls in the history; ``string_arguments`` when only as JSON text.
        takes_results: Shows tool messages; ``folds_results`` when only inside the assistant message.
        reasoning: Where it looks for earlier reasoning; empty when nowhere.
        switches_thinking: ``enable_thinking`` or ``thinking`` changes the prompt.
        switches_by_word: ``/no_think`` in the system message does.
    """

    needs_parts: bool = False
    takes_parts: bool = False
    takes_system: bool = True
    takes_late_system: bool = True
    takes_developer: bool = False
    must_alternate: bool = False
    takes_tools: bool = False
    takes_calls: bool = False
    string_arguments: bool = False
    takes_results: bool = False
    folds_results: bool = False
    reasoning: ReasoningStyle = ""
    switches_thinking: bool = False
    switches_by_word: bool = False


def probe(source: str, render: ProbeRender) -> TemplateCapabilities:
    """Return what the template can do; the defaults when it cannot be rendered within its limits."""
    try:
        return _Probe(source, render).result()
    except _TooCostly:
        log.warning(
            "the chat template exceeds its limits on a two-line conversation; it will fail in use too"
        )
        return TemplateCapabilities()


class _TooCostly(Exception):
    """Probing on would cost seconds each time."""


class _Probe:
    def __init__(self, source: str, render: ProbeRender) -> None:
        self._source = source
        self._render = render
        self._needs_parts = False
        self._arguments: object = {}

    def result(self) -> TemplateCapabilities:
        takes_text = self._shows([_user(USER)], [USER])
        takes_parts = self._shows([_user([{"type": "text", "text": USER}])], [USER])
        self._needs_parts = takes_parts and not takes_text
        objects, strings = self._takes_calls({KEY: VALUE}), self._takes_calls(f'{{"{KEY}": "{VALUE}"}}')
        self._arguments = {KEY: VALUE} if objects or not strings else f'{{"{KEY}": "{VALUE}"}}'
        takes_results = self._shows(_exchange(self._arguments), [RESULT])
        switches = self._switches()
        return TemplateCapabilities(
            needs_parts=self._needs_parts,
            takes_parts=takes_parts,
            takes_system=self._shows([_system(SYSTEM), _user(USER)], [SYSTEM]),
            takes_late_system=self._shows(
                [_user(USER), _assistant(ANSWER), _system(SYSTEM), _user(USER)], [SYSTEM]
            ),
            takes_developer="developer" in self._source,
            must_alternate=not self._shows([_user(USER), _user(ANSWER)], [USER, ANSWER]),
            takes_tools=self._shows([_user(USER)], [TOOL], [_tool(TOOL)]),
            takes_calls=objects or strings,
            string_arguments=strings and not objects,
            takes_results=takes_results,
            folds_results=not takes_results and "tool_responses" in self._source,
            reasoning=self._reasoning(),
            switches_thinking=switches,
            switches_by_word=not switches and self._switches_by_word(),
        )

    def _takes_calls(self, arguments: object) -> bool:
        # a template that prints Python's idea of the value, or quotes JSON twice, does not take it
        text = self._text(_exchange(arguments)) or ""
        spelt_wrong = f"'{KEY}'" in text or f'\\"{KEY}' in text
        return all(word in text for word in (TOOL, KEY, VALUE)) and not spelt_wrong

    def _reasoning(self) -> ReasoningStyle:
        styles: tuple[ReasoningStyle, ...] = ("reasoning_content", "thinking", "part")
        for style in styles:
            plain = [_user(USER), _with_reasoning(_assistant(ANSWER), style)]
            calling = _exchange(self._arguments)
            calling[1] = _with_reasoning(calling[1], style)
            if self._shows(plain, [THOUGHT]) or self._shows(calling, [THOUGHT]):
                return style
        return ""

    def _switches(self) -> bool:
        on, off = (
            self._text([_user(USER)], variables={"enable_thinking": on, "thinking": on})
            for on in (True, False)
        )
        return on is not None and off is not None and on != off

    def _switches_by_word(self) -> bool:
        with_word, without = (self._text([_system(text), _user(USER)]) for text in ("/no_think", "/no_thing"))
        if with_word is None or without is None:
            return False
        return with_word.replace("/no_think", "") != without.replace("/no_thing", "")

    def _shows(
        self, messages: list[dict[str, Any]], words: Iterable[str], tools: list[dict[str, Any]] | None = None
    ) -> bool:
        text = self._text(messages, tools)
        return text is not None and all(word in text for word in words) and "'type': 'text'" not in text

    def _text(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        variables: dict[str, Any] | None = None,
    ) -> str | None:
        if self._needs_parts:
            messages = [_in_parts(message) for message in messages]
        try:
            return self._render(messages, tools, variables or {})
        except RequestError as error:
            if error.error_code == "template_limit":
                raise _TooCostly from error
            return None


def _user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


def _assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def _tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {KEY: {"type": "string", "description": ""}}}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


def _exchange(arguments: object) -> list[dict[str, Any]]:
    """Return a conversation with a call and its result."""
    call = {"id": CALL_ID, "type": "function", "function": {"name": TOOL, "arguments": arguments}}
    result = {"role": "tool", "tool_call_id": CALL_ID, "name": TOOL, "content": RESULT}
    return [_user(USER), {**_assistant(""), "tool_calls": [call]}, result]


def _with_reasoning(message: dict[str, Any], style: ReasoningStyle) -> dict[str, Any]:
    if style == "part":
        text = [{"type": "text", "text": message["content"]}] if message["content"] else []
        return {**message, "content": [{"type": "thinking", "thinking": THOUGHT}, *text]}
    return {**message, style: THOUGHT}


def _in_parts(message: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(message["content"], str):
        return message
    return {**message, "content": [{"type": "text", "text": message["content"]}]}
