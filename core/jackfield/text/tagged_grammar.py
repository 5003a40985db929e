"""The grammar of families that mark thinking and calls with tags: what ``TaggedParser`` reads, written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jackfield.service.requests import ToolDefinition
from jackfield.text.grammars import FORM, GrammarWriter, Wanted, quoted

__all__ = ["SPACE", "TaggedGrammar", "either", "json_call"]

SPACE = r"/[ \n]{1,2}/"
"""What models put between parts; bounded, for they could go on with it."""


class TaggedGrammar:
    """Writes ``start`` for a family.

    Args:
        thinking: Opening and closing tags around reasoning.
        calls: Opening tag of a call, or of a block of calls, to what writes the rule of what follows it.
        loose_calls: The same for tags that only free text leads to.
        unread: Tags the parser reads as a call too, which the model is not to write.
        is_block: One opening tag holds all calls of a turn.
    """

    def __init__(
        self,
        writer: GrammarWriter,
        wanted: Wanted,
        *,
        thinking: Sequence[tuple[str, str]] = (),
        calls: Mapping[str, Callable[[], str]] | None = None,
        loose_calls: Mapping[str, Callable[[], str]] | None = None,
        unread: Sequence[str] = (),
        is_block: bool = False,
    ) -> None:
        self._writer = writer
        self._wanted = wanted
        self._thinking = thinking
        writer.closers += [closing for _, closing in thinking]
        self._calls = _written(calls, wanted)
        self._all_calls = {**self._calls, **_written(loose_calls, wanted)}
        self._barred = (*self._all_calls, *(unread if wanted.tools else ()))
        self._is_block = is_block

    def write(self) -> None:
        """Write the rules."""
        if self._wanted.is_thinking:
            start = self._thought(self._open_pair())
        else:
            start = either([self._answer(), *self._openings()])
        self._writer.rules["start"] = start

    # ---- thinking ----

    def _open_pair(self) -> tuple[str, str]:
        """Return the tags of the block that the prompt opened."""
        tail = self._wanted.tail
        return max(self._thinking, key=lambda pair: tail.rfind(pair[0]))

    def _openings(self) -> list[str]:
        wanted = self._wanted
        is_over = any(closing in wanted.tail for _, closing in self._thinking)
        if is_over or wanted.is_continued or not wanted.may_think:
            return []
        space = self._writer.terminal(SPACE)
        return [f"{space}? {self._writer.tag(pair[0])} {self._thought(pair)}" for pair in self._thinking]

    def _thought(self, pair: tuple[str, str]) -> str:
        closing = pair[1]
        ended = f"{self._writer.free_to(closing, *self._barred)} {self._rule(self._answer())}"
        calling = [
            f"{self._writer.free_to(tag, closing, *self._others(tag))} {body}{self._after_call()}"
            for tag, body in self._all_calls.items()
        ]
        return self._rule(either([ended, *calling]))

    # ---- the answer ----

    def _answer(self) -> str:
        wanted = self._wanted
        if wanted.has_form or wanted.must_call:
            space = "" if wanted.is_continued else f"{self._writer.terminal(SPACE)}? "
            form = [f"{space}{FORM}"] if wanted.has_form and not wanted.must_call else []
            return self._rule(either([*form, *([self._only_calls()] if self._calls else [])]))
        return self._rule(self._talk())

    def _talk(self) -> str:
        """Free text with calls in it."""
        text = self._writer.free(*self._barred)
        if not self._calls:
            return text
        call = either(
            [
                f"{self._writer.free_to(tag, *self._others(tag))} {body}"
                for tag, body in self._all_calls.items()
            ]
        )
        is_single = self._is_block or not self._wanted.is_parallel
        return f"{some(call)} | {text}" if is_single else f"({call})* {text}"

    def _only_calls(self) -> str:
        call = f"{self._writer.terminal(SPACE)}? {self._opened()}"
        is_single = self._is_block or not self._wanted.is_parallel
        return call if is_single else f"({call})+"

    def _opened(self) -> str:
        return some(either([f"{self._writer.tag(tag)} {body}" for tag, body in self._calls.items()]))

    def _after_call(self) -> str:
        """What may follow a call that a thought led to."""
        wanted = self._wanted
        if self._is_block or not wanted.is_parallel:
            return ""
        if wanted.has_form or wanted.must_call:
            return f" ({self._writer.terminal(SPACE)}? {self._opened()})*"
        return f" {self._rule(self._talk())}"

    def _others(self, tag: str) -> list[str]:
        return [other for other in self._barred if other != tag]

    def _rule(self, body: str) -> str:
        return self._writer.rule(body)


def _written(calls: Mapping[str, Callable[[], str]] | None, wanted: Wanted) -> dict[str, str]:
    return {tag: write() for tag, write in (calls or {}).items()} if wanted.tools else {}


def json_call(
    writer: GrammarWriter,
    tools: Sequence[ToolDefinition],
    key: str = "arguments",
    rest: str = "",
    *,
    is_cut: bool = False,
) -> str:
    """Return the rule of ``{"name": …, "arguments": {…}}`` for one of the tools.

    Args:
        rest: Further members.
        is_cut: Write the beginning in the pieces that JSON is made of, not as one.
    """
    head = _cut_head if is_cut else _head
    calls = [f"{head(tool, key)} {writer.json(tool.parameters)}" for tool in tools]
    return writer.rule(f'{some(either(calls))} {rest} "}}"', "call")


def either(options: Sequence[str]) -> str:
    """Return the alternatives."""
    return " | ".join(dict.fromkeys(options))


def some(body: str) -> str:
    """Return a body in brackets."""
    return f"({body})"


def _head(tool: ToolDefinition, key: str) -> str:
    return quoted(f'{{"name": {quoted(tool.name)}, "{key}": ')


def _cut_head(tool: ToolDefinition, key: str) -> str:
    name, value, arguments = (quoted(quoted(text)) for text in ("name", tool.name, key))
    return f'"{{" {name} /: ?/ {value} /, ?/ {arguments} /: ?/'
