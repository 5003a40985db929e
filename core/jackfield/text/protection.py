"""Keeping texts that users wrote from turning into control tokens.

A noncharacter is put behind the first character of every control token that a text spells. Templates pass
it on like any letter, and where it stands in the rendering nothing may be matched. Texts that spell none,
nearly all, reach the template untouched, so that its comparisons and splits work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from jackfield.errors import RequestError
from jackfield.text.rendering import MARKS
from jackfield.text.special_matcher import SpecialMatcher

__all__ = ["Protector", "read_marks"]


class Protector:
    """Marks texts before rendering and reads the marks after it.

    Args:
        control: Spellings that are never matched in a message.
        protocol: Spellings that are matched in the content of earlier answers only: tags of thinking and of
            calls, which a client may send back as they came.
    """

    def __init__(self, control: Iterable[str], protocol: Iterable[str] = ()) -> None:
        hidden = dict.fromkeys((text for text in control if text), 0)
        visible = dict.fromkeys((text for text in protocol if text), 0)
        self._answers = SpecialMatcher(hidden)
        self._others = SpecialMatcher({**hidden, **visible})

    def mark(
        self, messages: Sequence[Mapping[str, Any]], *others: Any
    ) -> tuple[str, list[dict[str, Any]], list[Any]]:
        """Return the mark and marked copies of the messages and of other values.

        Raises:
            RequestError: The texts use up all the noncharacters there are.
        """
        mark = _unused_mark([messages, others])
        marked = [self._marked_message(message, mark) for message in messages]
        return mark, marked, [_marked(other, mark, self._others) for other in others]

    def _marked_message(self, message: Mapping[str, Any], mark: str) -> dict[str, Any]:
        marked: dict[str, Any] = _marked(message, mark, self._others)
        if message.get("role") == "assistant" and "content" in message:
            marked["content"] = _marked(message["content"], mark, self._answers)
        return marked


def read_marks(text: str, mark: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text without its marks, and the spans they protect: each the character before a mark."""
    pieces = text.split(mark)
    spans: list[tuple[int, int]] = []
    position = 0
    for piece in pieces[:-1]:
        position += len(piece)
        spans.append((max(position - 1, 0), position))
    return "".join(pieces), spans


def _marked(value: Any, mark: str, matcher: SpecialMatcher) -> Any:
    if isinstance(value, str):
        return _marked_text(value, mark, matcher)
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, object]", value).items()
        return {_marked(key, mark, matcher): _marked(item, mark, matcher) for key, item in entries}
    if isinstance(value, list | tuple):
        return [_marked(item, mark, matcher) for item in cast("Sequence[Any]", value)]
    return value


def _marked_text(text: str, mark: str, matcher: SpecialMatcher) -> str:
    position = 0
    pieces: list[str] = []
    for start in matcher.starts(text):
        pieces += [text[position : start + 1], mark]
        position = start + 1
    return "".join([*pieces, text[position:]]) if pieces else text


def _unused_mark(values: Any) -> str:
    used = _characters_of(values) & set(MARKS)
    free = [mark for mark in MARKS if mark not in used]
    if not free:
        raise RequestError(
            "the conversation uses every noncharacter from U+FDD0 to U+FDEF, which no text should hold;"
            " leave one out",
            param="messages",
        )
    return free[0]


def _characters_of(value: Any) -> set[str]:
    if isinstance(value, str):
        return set() if value.isascii() else set(value)
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, object]", value)
        return _characters_of([*entries.keys(), *entries.values()])
    if isinstance(value, list | tuple):
        return set[str]().union(*map(_characters_of, cast("Sequence[Any]", value)))
    return set()
