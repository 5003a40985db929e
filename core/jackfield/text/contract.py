"""The tokenizer and chat-format contracts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.grammars import GrammarWriter, Wanted

__all__ = [
    "ArgumentsDelta",
    "CallDone",
    "CallStarted",
    "ChatFormat",
    "Content",
    "FormatParser",
    "ParsedEvent",
    "SpecialTokens",
    "Thinking",
    "Tokenizer",
]


@dataclass(frozen=True)
class SpecialTokens:
    """Ids with a meaning; ``None`` where the vocabulary has none. ``eog`` ends a generation."""

    bos: int | None = None
    eos: int | None = None
    eot: int | None = None
    unknown: int | None = None
    padding: int | None = None
    eog: frozenset[int] = frozenset()
    suppressed: frozenset[int] = frozenset()
    fim_prefix: int | None = None
    fim_suffix: int | None = None
    fim_middle: int | None = None


class Tokenizer(Protocol):
    """Text to ids and back. Safe to call from several threads."""

    @property
    def vocab_size(self) -> int:
        """V."""
        ...

    @property
    def special(self) -> SpecialTokens:
        """Ids with a meaning, after the repairs of published files."""
        ...

    @property
    def add_bos(self) -> bool:
        """Whether ``add_special`` prepends BOS."""
        ...

    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Turn text into ids.

        Args:
            add_special: Add BOS and EOS as the vocabulary asks.
            parse_special: Match control tokens spelt in the text; never for text a user wrote.
        """
        ...

    def encode_prompt(self, text: str, protected: Sequence[tuple[int, int]]) -> list[int]:
        """Turn a rendered prompt into ids: control tokens are matched outside the protected spans only.

        BOS is added when the vocabulary asks for it and the text does not begin with it.
        """
        ...

    def piece(self, token_id: int) -> bytes:
        """Return the bytes a token stands for; the literal text for control tokens."""
        ...

    @property
    def control_ids(self) -> frozenset[int]:
        """Tokens that are hidden from output unless a chat format preserves them."""
        ...

    def token_text(self, token_id: int) -> str:
        """Return the vocabulary's own spelling."""
        ...

    def id_of(self, text: str) -> int | None:
        """Return the id of exactly that vocabulary entry."""
        ...

    def strips_leading_space(self) -> bool:
        """Tell whether the first text of a fresh generation loses one leading space (SentencePiece)."""
        ...


@dataclass(frozen=True)
class Content:
    """Answer text."""

    text: str


@dataclass(frozen=True)
class Thinking:
    """Reasoning text."""

    text: str


@dataclass(frozen=True)
class CallStarted:
    """A tool call's name is known."""

    index: int
    name: str


@dataclass(frozen=True)
class ArgumentsDelta:
    """More of a call's arguments, as JSON text."""

    index: int
    text: str


@dataclass(frozen=True)
class CallDone:
    """A call is complete; ``arguments`` is the parsed JSON object."""

    index: int
    name: str
    arguments: dict[str, object] = field(default_factory=dict[str, object])


ParsedEvent = Content | Thinking | CallStarted | ArgumentsDelta | CallDone


class FormatParser(Protocol):
    """Turns one generation's text into events; the same events however the text is cut."""

    @property
    def in_thinking(self) -> bool:
        """Whether a thinking block is open now, be it that the prompt opened it."""
        ...

    def prime(self, prompt_tail: str) -> None:
        """Take the prompt's last text, to learn whether a thinking block is open already."""
        ...

    def feed(self, text: str) -> list[ParsedEvent]:
        """Take more text; partial tags are held back."""
        ...

    def finish(self, stop_token: str | None) -> list[ParsedEvent]:
        """Flush what was held back; ``stop_token`` is the end-of-generation token's text, if one came."""
        ...


class ChatFormat(Protocol):
    """How a family writes thinking and tool calls."""

    @property
    def preserved_tokens(self) -> Sequence[str]:
        """Control tokens that must reach the parser as text."""
        ...

    @property
    def supports_thinking(self) -> bool:
        """Whether the family marks reasoning (the template must agree)."""
        ...

    @property
    def supports_tools(self) -> bool:
        """Whether the family writes tool calls this format can read."""
        ...

    @property
    def thinking_end(self) -> str:
        """The text that closes a thinking block; empty when there is none."""
        ...

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Rewrite history to what the family's template expects."""
        ...

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write the rules of all that may follow a prompt, so that this format's parser reads what is wanted.

        The rule ``start`` is where they begin. Arguments are ``writer.json(tool.parameters)``, an answer's form is
        ``FORM``; both are held to exactly. Asked only when tools are offered or an answer's form is.
        """
        ...

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser for one generation; tool syntax is read only when ``tools`` were offered."""
        ...
