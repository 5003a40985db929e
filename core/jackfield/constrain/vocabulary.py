"""A model's vocabulary as ``llguidance`` reads one, and the same cut down to single bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from llguidance import LLTokenizer

from jackfield.text.contract import Tokenizer

__all__ = ["NUM_BYTES", "Vocabulary"]

NUM_BYTES = 256


class Vocabulary:
    """The tokens a grammar is made of; built once a model, in about a second for 150,000 tokens.

    Tokens that stand for no text (control tokens, ends, and the tags that a chat format keeps apart) are never
    matched by text, only by their id.

    Args:
        tags: Spellings of the chat format's own tokens; those the vocabulary lacks are plain text.

    Attributes:
        ends: Ids that end an answer; ``end`` is the one that stands for all of them.
        tokens: All tokens.
        letters: The tokens that stand for no text, and behind the last id one for each byte: grammars are
            searched over these, which takes a hundredth of the time.
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
        letters = _Letters(source)
        self._special = frozenset(source.special_token_ids)
        self._pieces = source.tokens
        self.tokens = _built(source)
        self.letters = _built(letters)

    def spell(self, text: str) -> list[str | int]:
        """Split a text into plain pieces and the ids of tags that are one token."""
        parts: list[str | int] = []
        done = 0
        for found in self._pattern.finditer(text) if self._pattern is not None else ():
            parts += [text[done : found.start()]] if found.start() > done else []
            parts.append(self._tags[found.group()])
            done = found.end()
        return [*parts, text[done:]] if done < len(text) else parts

    def letters_of(self, text: str) -> list[int]:
        """Return a text's letters, tags included."""
        letters: list[int] = []
        for part in self.spell(text):
            letters += [part] if isinstance(part, int) else self.letters_of_bytes(part.encode())
        return letters

    def letters_of_token(self, token_id: int) -> list[int]:
        """Return a token's letters."""
        if token_id in self._special:
            return [token_id]
        return self.letters_of_bytes(self._pieces[token_id])

    def letters_of_bytes(self, text: bytes) -> list[int]:
        """Return the letters of bytes in which no tag is read."""
        return [self.size + byte for byte in text]

    def tokens_of(self, letters: Sequence[int]) -> list[int]:
        """Return tokens that spell letters; few, but neither the fewest nor the tokenizer's own choice."""
        tokens: list[int] = []
        run = bytearray()
        for letter in letters:
            if letter >= self.size:
                run.append(letter - self.size)
                continue
            tokens += [*self._greedy(bytes(run)), letter]
            run.clear()
        return tokens + self._greedy(bytes(run))

    def _greedy(self, text: bytes) -> list[int]:
        try:
            return list(self.tokens.greedy_tokenize(text.decode()))
        except UnicodeDecodeError:  # half a character is left to be said
            return [token for byte in text for token in self._single(byte)]

    def _single(self, byte: int) -> list[int]:
        spelling = bytes([byte])
        return [self._pieces.index(spelling)] if spelling in self._pieces else []


class _Source:
    """A tokenizer under the names that ``LLTokenizer`` asks for."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer, textless: set[int], end: int) -> None:
        ids = range(tokenizer.vocab_size)
        self._tokenizer = tokenizer
        self.eos_token_id = end
        self.bos_token_id = tokenizer.special.bos
        self.special_token_ids = sorted(textless.union(tokenizer.control_ids))
        hidden = frozenset(self.special_token_ids)
        # a token that stands for no text must not look like the end of the trie
        self.tokens = [_special_spelling(i) if i in hidden else tokenizer.piece(i) for i in ids]

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


class _Letters:
    """The same with single bytes instead of its pieces of text."""

    is_tokenizer_wrapper = True

    def __init__(self, source: _Source) -> None:
        size = len(source.tokens)
        hidden = frozenset(source.special_token_ids)
        self.eos_token_id = source.eos_token_id
        self.bos_token_id = source.bos_token_id
        self.special_token_ids = source.special_token_ids
        kept = [source.tokens[i] if i in hidden else b"" for i in range(size)]
        self.tokens = [*kept, *(bytes([byte]) for byte in range(NUM_BYTES))]
        self._size = size

    def __call__(self, text: str) -> list[int]:
        return [self._size + byte for byte in text.encode()]


def _built(source: Any) -> LLTokenizer:
    """Return the library's own form of it; the source has the right names, though not the right class."""
    return LLTokenizer(source, n_vocab=len(source.tokens))


def _end_token(tokenizer: Tokenizer) -> int:
    special = tokenizer.special
    found = special.eot if special.eot is not None else special.eos
    return found if found is not None else min(special.eog, default=0)


def _special_spelling(token_id: int) -> bytes:
    """Spell a token as the library marks special ones, which no grammar matches as text."""
    return b"\xff[" + str(token_id).encode() + b"]"
