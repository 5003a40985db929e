"""Text without a model: a tokenizer of bytes, a chat format of two tags, a template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.contract import Content, FormatParser, ParsedEvent, SpecialTokens, Thinking
from jackfield.text.grammars import GrammarWriter, Wanted
from jackfield.text.tagged_grammar import TaggedGrammar

__all__ = ["ByteTemplate", "ByteTokenizer", "TagFormat"]

CONTROL = ("<s>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<fim_p>", "<fim_s>", "<fim_m>")
FIRST_CONTROL = 256


class ByteTokenizer:
    """Tokens 0 to 255 are bytes; control tokens follow.

    Args:
        tags: Further control tokens, as a chat format's.
    """

    def __init__(self, tags: Sequence[str] = ()) -> None:
        self._control = tuple(dict.fromkeys((*CONTROL, *tags)))
        self._ids = {text: FIRST_CONTROL + index for index, text in enumerate(self._control)}
        longest_first = sorted(self._control, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    @property
    def vocab_size(self) -> int:
        """V."""
        return FIRST_CONTROL + len(self._control)

    @property
    def special(self) -> SpecialTokens:
        """Ids with a meaning."""
        ids = self._ids
        return SpecialTokens(
            bos=ids["<s>"],
            eos=ids["<|im_end|>"],
            eog=frozenset([ids["<|im_end|>"]]),
            fim_prefix=ids["<fim_p>"],
            fim_suffix=ids["<fim_s>"],
            fim_middle=ids["<fim_m>"],
        )

    @property
    def add_bos(self) -> bool:
        """Prompts begin with BOS."""
        return True

    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Turn text into ids."""
        tokens = [self._ids["<s>"]] if add_special else []
        return tokens + self._encode(text, [] if parse_special else [(0, len(text))])

    def encode_prompt(self, text: str, protected: Sequence[tuple[int, int]]) -> list[int]:
        """Turn a rendered prompt into ids."""
        tokens = self._encode(text, protected)
        bos = self._ids["<s>"]
        return tokens if tokens[:1] == [bos] else [bos, *tokens]

    def _encode(self, text: str, protected: Sequence[tuple[int, int]]) -> list[int]:
        tokens: list[int] = []
        done = 0
        for found in self._pattern.finditer(text):
            if any(start < found.end() and found.start() < stop for start, stop in protected):
                continue
            tokens += text[done : found.start()].encode()
            tokens.append(self._ids[found.group()])
            done = found.end()
        return [*tokens, *text[done:].encode()]

    def piece(self, token_id: int) -> bytes:
        """Return a token's bytes."""
        return bytes([token_id]) if token_id < FIRST_CONTROL else self.token_text(token_id).encode()

    @property
    def control_ids(self) -> frozenset[int]:
        """Every token that is no byte."""
        return frozenset(range(FIRST_CONTROL, self.vocab_size))

    def token_text(self, token_id: int) -> str:
        """Return the vocabulary's own spelling."""
        return self._control[token_id - FIRST_CONTROL] if token_id >= FIRST_CONTROL else f"<{token_id:02X}>"

    def id_of(self, text: str) -> int | None:
        """Return the id of a control token."""
        return self._ids.get(text)

    def control_texts(self) -> Sequence[str]:
        """Return the control tokens' spellings."""
        return self._control

    def strips_leading_space(self) -> bool:
        """Keep every space."""
        return False


class _TagParser:
    """Splits at ``<think>`` and ``</think>``, which always come as whole tokens."""

    def __init__(self) -> None:
        self._is_open = False

    @property
    def in_thinking(self) -> bool:
        return self._is_open

    def prime(self, prompt_tail: str) -> None:
        self._is_open = prompt_tail.rfind("<think>") > prompt_tail.rfind("</think>")

    def feed(self, text: str) -> list[ParsedEvent]:
        if text in ("<think>", "</think>"):
            self._is_open = text == "<think>"
            return []
        return [Thinking(text) if self._is_open else Content(text)]

    def finish(self, stop_token: str | None) -> list[ParsedEvent]:
        return []


class TagFormat:
    """A chat format with thinking tags and without tools."""

    preserved_tokens: Sequence[str] = ("<think>", "</think>")
    supports_thinking = True
    supports_tools = False
    thinking_end = "</think>"

    def adapt(self, messages: list[Message]) -> list[Message]:
        """Leave the history as it is."""
        return messages

    def write_grammar(self, wanted: Wanted, writer: GrammarWriter) -> None:
        """Write the answer, behind what is thought."""
        TaggedGrammar(writer, wanted, thinking=[("<think>", "</think>")]).write()

    def parser(self, tools: Sequence[ToolDefinition]) -> FormatParser:
        """Return a parser of the tags."""
        return _TagParser()


@dataclass(frozen=True)
class _Rendered:
    text: str
    protected_spans: Sequence[tuple[int, int]]
    tail: str = ""


class ByteTemplate:
    """ChatML, which drops the thinking of earlier turns as published templates do."""

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolDefinition],
        *,
        think: bool | str,
        arguments: dict[str, str | int | float | bool],
        continue_final: bool,
    ) -> _Rendered:
        """Render a conversation."""
        text, spans = "", list[tuple[int, int]]()
        for message in messages:
            text += f"<|im_start|>{message.role}\n"
            spans.append((len(text), len(text) + len(message.content)))
            text += f"{message.content}<|im_end|>\n"
        if continue_final:
            return _Rendered(text.removesuffix("<|im_end|>\n"), spans, messages[-1].content)
        tail = "<|im_start|>assistant\n" + ("<think>" if think else "")
        return _Rendered(text + tail, spans, tail)
