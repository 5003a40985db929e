"""What a skill writes: questions with answers, conversations made of them, and how an answer is judged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

__all__ = ["Check", "Exchange", "Sample", "Skill", "phrase", "sloppy"]

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
Message = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """What a right answer to a held-out question is.

    Attributes:
        says: Texts the answer must contain, in any case.
        equals: The JSON value it must be; texts are compared without regard to case.
        calls: Names and arguments of the calls it must make, in any order; an empty list for none.
        text: The exact answer, but for blanks around it.
    """

    says: tuple[str, ...] = ()
    equals: Any = None
    calls: list[tuple[str, dict[str, Any]]] | None = None
    text: str | None = None

    def passes(self, text: str, calls: list[tuple[str, dict[str, Any]]]) -> bool:
        """Judge an answer."""
        if self.calls is not None:
            return _sorted(calls) == _sorted(self.calls)
        if calls:
            return False
        if self.equals is not None:
            try:
                return bool(_folded(json.loads(text)) == _folded(self.equals))
            except ValueError:
                return False
        if self.text is not None:
            return text.strip() == self.text.strip()
        return all(_holds(text, wanted) for wanted in self.says)


def _holds(text: str, wanted: str) -> bool:
    pattern = rf"(?<!\d){re.escape(wanted)}(?!\.?\d)" if wanted[-1:].isdigit() else re.escape(wanted)
    return re.search(pattern, text.replace(",", "") if wanted.isdigit() else text, re.IGNORECASE) is not None


def _folded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _folded(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return list(map(_folded, cast("Sequence[Any]", value)))
    return value.casefold() if isinstance(value, str) else value


def _sorted(calls: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return sorted(json.dumps([name, _folded(arguments)], sort_keys=True) for name, arguments in calls)


@dataclass(frozen=True)
class Exchange:
    """One question and its answer.

    Attributes:
        thought: The reasoning before the answer, when thinking is on.
        says: Texts a right answer contains.
        key: What the question is about whatever its wording; the question itself when empty.
        text: The exact answer, when only that is right.
        brief: The answer after the working was thought, when it then needs no working.
    """

    question: str
    answer: str
    thought: str = ""
    says: tuple[str, ...] = ()
    key: str = ""
    text: str | None = None
    brief: str = ""

    def messages(self) -> list[Message]:
        """Return the two turns."""
        return [
            {"role": "user", "content": self.question},
            {"role": "assistant", "content": self.answer, "thinking": self.thought, "brief": self.brief},
        ]


@dataclass(frozen=True)
class Sample:
    """A conversation that ends with the answer to learn.

    Attributes:
        messages: Role, content, thinking and tool calls of each turn.
        key: What decides whether it is held out.
        tools: Functions offered to the model, as ``{"name", "description", "parameters"}``.
        may_think: Whether reasoning makes sense here.
    """

    skill: str
    messages: list[Message]
    key: str
    check: Check = field(default_factory=Check)
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    may_think: bool = True

    @classmethod
    def of(cls, skill: str, *exchanges: Exchange, system: str = "") -> Sample:
        """Return the conversation of these exchanges; the last one is judged."""
        last = exchanges[-1]
        messages: list[Message] = [{"role": "system", "content": system}] if system else []
        for exchange in exchanges:
            messages += exchange.messages()
        key = last.key or " | ".join(m["content"] for m in messages if m["role"] != "assistant")
        return cls(skill, messages, f"{skill}: {key}", Check(says=last.says, text=last.text))


Skill = Callable[[Random], Sample]


def phrase(rng: Random, template: str, **slots: object) -> str:
    """Choose among ``[this|that]`` everywhere in the template, then fill its ``{slots}``."""
    while "[" in template:
        template = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
    return _SLOT.sub(lambda found: str(slots.get(found[1], found[0])), template).strip()


def sloppy(rng: Random, question: str) -> str:
    """Return the question as it is, or typed in haste."""
    draw = rng.random()
    if draw < 0.06:
        return question.lower()
    if draw < 0.12:
        return question.rstrip("?.!")
    if draw < 0.16:
        return question.lower().rstrip("?.!")
    if draw < 0.19:
        return (
            f"{rng.choice(('Please', 'Hi!', 'Hey,', 'Hello.', 'Quick question:', 'OK,', 'So,'))} {question}"
        )
    return question
