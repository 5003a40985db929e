"""Writing the grammar of what a model may say, in the Lark dialect that ``llguidance`` reads.

A chat format writes rules; which tags are single tokens of the vocabulary, and which schemas and forms stand behind
a name, is the writer's business. Source of the dialect: docs/syntax.md of guidance-ai/llguidance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jackfield.service.requests import ToolDefinition

__all__ = ["FORM", "GrammarWriter", "Wanted", "quoted", "regex_of"]

Spelling = Callable[[str], Sequence[str | int]]
FORM = "@form"
_SPECIAL = frozenset(r"\.+*?()|[]{}^$/#&-~")
_SHORT_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


@dataclass(frozen=True)
class Wanted:
    """What a generation may consist of.

    Attributes:
        tools: Those that may be called now.
        must_call: Nothing but calls may follow the thinking.
        is_parallel: More than one call may be made.
        has_form: What is no call must be the form that a request asked for.
        is_thinking: The prompt ends inside a thinking block.
        may_think: The model may open one.
        tail: The prompt's last text.
        is_continued: The prompt ends inside an answer.
    """

    tools: Sequence[ToolDefinition] = ()
    must_call: bool = False
    is_parallel: bool = True
    has_form: bool = False
    is_thinking: bool = False
    may_think: bool = True
    tail: str = ""
    is_continued: bool = False


@dataclass
class GrammarWriter:
    """Collects the rules of one grammar; the rule ``start`` is where it begins.

    Args:
        spell: Splits a text into pieces of plain text and ids of the tokens that stand for no text.

    Attributes:
        rules: Name to body. Schemas: name to JSON schema, referred to as ``@name``.
        closers: Texts that end free text inside of a call, for whoever looks for the way out.
    """

    spell: Spelling
    rules: dict[str, str] = field(default_factory=dict[str, str])
    schemas: dict[str, Any] = field(default_factory=dict[str, Any])
    closers: list[str] = field(default_factory=list[str])
    _names: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def text(self) -> str:
        """Return the whole grammar but for its schemas."""
        return "".join(f"{name}: {body}\n" for name, body in self.rules.items())

    def rule(self, body: str, stem: str = "part") -> str:
        """Return the name of a rule with that body, the same for the same body."""
        return self._named(stem, body)

    def reserved(self, stem: str) -> str:
        """Return a rule's name whose body, which may refer to it, is put into ``rules`` later."""
        return self._named(stem, f"{len(self._names)}")

    def terminal(self, pattern: str) -> str:
        """Return the name of a terminal."""
        return self._named("TEXT", pattern)

    def json(self, schema: Any) -> str:
        """Return what stands for a JSON value of that schema."""
        name = self._names.setdefault(
            ("json", json.dumps(schema, sort_keys=False)), f"json_{len(self.schemas)}"
        )
        self.schemas[name] = schema
        return f"@{name}"

    def tag(self, text: str) -> str:
        """Return what stands for a tag, be it one token or several characters."""
        return " ".join(quoted(part) if isinstance(part, str) else f"<[{part}]>" for part in self.spell(text))

    def free(self, *without: str) -> str:
        """Return what stands for any text that holds none of these tags; it may be empty."""
        return self.terminal(_free(without))

    def free_to(self, tag: str, *without: str, text: str = r"(?s:.*)") -> str:
        """Return what stands for text up to the first such tag, and the tag.

        Args:
            without: Tags that the text does not hold either.
            text: The pattern of what may precede the tag.
        """
        first, *rest = self.spell(tag)
        if not rest and isinstance(first, str):
            pattern = f"/{text}{regex_of(tag)}/{_holding_none(without, before=tag)}"
            return self._named("upto", self.terminal(pattern), "[lazy]")
        lead = first if isinstance(first, str) else ""
        terminal = self.terminal(f"/{text}{regex_of(lead)}/{_holding_none((tag, *without))}")
        return f"{terminal} {self.tag(tag.removeprefix(lead))}"

    def _named(self, stem: str, body: str, attributes: str = "") -> str:
        key = (stem + attributes, body)
        if key not in self._names:
            name = f"{stem}_{len(self._names)}"
            self._names[key] = name
            self.rules[name + attributes] = body
        return self._names[key]


def quoted(text: str) -> str:
    """Return a text as the grammar spells it."""
    return json.dumps(text, ensure_ascii=False)


def regex_of(text: str) -> str:
    """Return the pattern that matches exactly this text."""
    return "".join(_SHORT_ESCAPES.get(char) or (f"\\{char}" if char in _SPECIAL else char) for char in text)


def _free(without: Sequence[str]) -> str:
    return "/(?s:.*)/" + _holding_none(without)


def _holding_none(tags: Sequence[str], before: str = "") -> str:
    if not tags:
        return ""
    either = "|".join(map(regex_of, sorted(set(tags))))
    return f" & ~/(?s:.*)({either})(?s:.*){regex_of(before)}/"
