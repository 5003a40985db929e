"""A model's vocabulary as ``llguidance`` reads one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLTokenizer

from jackfield.text.contract import Tokenizer

__all__ = ["Vocabulary"]

Bits = npt.NDArray[np.uint32]


class Vocabulary:
    """The tokens a grammar is made of; built once a model, in about a second for 150,000 tokens.

    Tokens that stand for no text (control tokens, ends, and the tags that a chat format keeps apart) are never
    matched by text, only by their id.

    Args:
        tags: Spellings of the chat format's own tokens; those the vocabulary lacks are plain text.

    Attributes:
        ends: Ids that end an answer; ``end`` is the one that stands for all of them.
        bytes: The id of the token for each single byte; -1 where there is none.
    """

    def __init__(self, tokenizer: Tokenizer, tags: Sequence[str] = ()) -> None:
        special = tokenizer.special
        self.size = tokenizer.vocab_size
        self.ends = sorted(special.eog)
        self.end = _end_token(tokenizer)
        ids = {tag: tokenizer.id_of(tag) for tag in tags}
        self._tags = {tag: token_id for tag, token_id in ids.items() if token_id is not None}
        longest_first = sorted(self._tags, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        source = _Source(tokenizer, {*special.eog, *self._tags.values()}, self.end)
        given: Any = source  # of the right form, though not of its class
        self.tokens = LLTokenizer(given, n_vocab=self.size)
        found = {piece: token_id for token_id, piece in enumerate(source.tokens) if len(piece) == 1}
        self.bytes = [found.get(bytes([byte]), -1) for byte in range(256)]
        self._bytes = {token_id: byte for byte, token_id in enumerate(self.bytes) if token_id >= 0}
        self._byte_ids = np.array(self.bytes, np.int64)

    def spell(self, text: str) -> list[str | int]:
        """Split a text into plain pieces and the ids of tags that are one token."""
        parts: list[str | int] = []
        done = 0
        for found in self._pattern.finditer(text) if self._pattern is not None else ():
            parts += [text[done : found.start()]] if found.start() > done else []
            parts.append(self._tags[found.group()])
            done = found.end()
        return [*parts, text[done:]] if done < len(text) else parts

    def encode(self, text: str) -> list[int]:
        """Return tokens that spell a text, tags included; few, but not the tokenizer's own choice."""
        tokens: list[int] = []
        for part in self.spell(text):
            tokens += [part] if isinstance(part, int) else self.tokens.greedy_tokenize(part)
        return tokens

    def encode_bytes(self, text: bytes) -> list[int]:
        """Return tokens that spell bytes, in which no tag is read; single ones where they are no whole text."""
        try:
            return list(self.tokens.greedy_tokenize(text.decode()))
        except UnicodeDecodeError:
            return [self.bytes[byte] for byte in text]

    def bytes_in(self, bits: Bits, order: npt.NDArray[np.intp]) -> bytes:
        """Return the bytes whose single tokens a bitmask allows, in the order given."""
        ids = self._byte_ids[order]
        is_set = (bits[ids >> 5] >> (ids & 31).astype(np.uint32)) & np.uint32(1)
        return bytes(order[(is_set != 0) & (ids >= 0)].tolist())

    def byte_of(self, token_id: int) -> int | None:
        """Return the byte that the token stands for, if it is a single one."""
        return self._bytes.get(token_id)


class _Source:
    """A tokenizer under the names that ``LLTokenizer`` asks for."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer, textless: set[int], end: int) -> None:
        ids = range(tokenizer.vocab_size)
        self._tokenizer = tokenizer
        self.eos_token_id = end
        self.bos_token_id = tokenizer.special.bos
        self.special_token_ids = [i for i in ids if i in textless or tokenizer.is_control(i)]
        hidden = frozenset(self.special_token_ids)
        # a token that stands for no text must not look like the end of the trie
        self.tokens = [_special_spelling(i) if i in hidden else tokenizer.piece(i) for i in ids]

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


def _end_token(tokenizer: Tokenizer) -> int:
    special = tokenizer.special
    found = special.eot if special.eot is not None else special.eos
    return found if found is not None else min(special.eog, default=0)


def _special_spelling(token_id: int) -> bytes:
    """Spell a token as the library marks special ones, which no grammar matches as text."""
    return b"\xff[" + str(token_id).encode() + b"]"
