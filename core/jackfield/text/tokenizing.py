"""What every tokenizer does around its algorithm: special tokens, BOS and EOS, pieces."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence

from jackfield.errors import RequestError
from jackfield.text.contract import SpecialTokens
from jackfield.text.special_matcher import SpecialMatcher
from jackfield.text.vocabulary import TokenType, Vocabulary, byte_of

__all__ = ["VocabularyTokenizer"]

log = logging.getLogger(__name__)

_SPACE = re.compile(r"\s*")
_SURROGATE = re.compile("[\ud800-\udfff]")


class VocabularyTokenizer:
    """A tokenizer of a vocabulary and an algorithm for runs of plain text.

    Args:
        encode_run: Ids of a text that holds no special token; safe to call from several threads.
        piece_of: Bytes that a normal token's spelling stands for.
        run_prefix: Put in front of every run, as SentencePiece vocabularies with a space prefix want it.

    Attributes:
        control_ids: Tokens that are hidden from output unless a chat format preserves them.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        encode_run: Callable[[str], list[int]],
        piece_of: Callable[[str], bytes],
        *,
        run_prefix: str = "",
    ) -> None:
        self.vocabulary = vocabulary
        self._encode_run = encode_run
        self._piece_of = piece_of
        self._run_prefix = run_prefix
        self.control_ids = frozenset(vocabulary.ids_of_type(TokenType.CONTROL, TokenType.UNKNOWN))
        self._always = _matcher(vocabulary, TokenType.USER_DEFINED)
        self._special = _matcher(vocabulary, TokenType.USER_DEFINED, TokenType.CONTROL, TokenType.UNKNOWN)

    # ---- what it is ----

    @property
    def vocab_size(self) -> int:
        """V."""
        return len(self.vocabulary.tokens)

    @property
    def special(self) -> SpecialTokens:
        """Ids with a meaning, after the repairs of published files."""
        return self.vocabulary.special

    @property
    def add_bos(self) -> bool:
        """Whether ``add_special`` prepends BOS."""
        return self.vocabulary.add_bos and self.special.bos is not None

    @property
    def add_eos(self) -> bool:
        """Whether ``add_special`` appends EOS."""
        return self.vocabulary.add_eos and self.special.eos is not None

    def strips_leading_space(self) -> bool:
        """Tell whether the first text of a fresh generation loses one leading space."""
        return self._run_prefix != ""

    # ---- text to ids ----

    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Turn text into ids.

        Args:
            add_special: Add BOS and EOS as the vocabulary asks.
            parse_special: Match control tokens spelt in the text; never for text a user wrote.
        """
        ids = self._encode(text, self._special if parse_special else self._always, ())
        return self._with_bos_and_eos(ids) if add_special else ids

    def encode_prompt(self, text: str, protected: Sequence[tuple[int, int]]) -> list[int]:
        """Turn a rendered prompt into ids; no special token is matched that touches a protected span.

        BOS is added when the vocabulary asks for it and the text does not begin with it.
        """
        ids = self._encode(text, self._special, protected)
        if self.add_bos and ids[:1] != [self.special.bos]:
            return [*self._bos(), *ids]
        return ids

    def _encode(self, text: str, matcher: SpecialMatcher, protected: Sequence[tuple[int, int]]) -> list[int]:
        ids: list[int] = []
        text = _SURROGATE.sub("\ufffd", text)  # JSON can spell halves of characters; UTF-8 cannot
        for run, token_id in self._runs(text, matcher, protected):
            if run:
                ids += self._encode_run(self._run_prefix + run)
            if token_id is not None:
                ids.append(token_id)
        return ids

    def _runs(
        self, text: str, matcher: SpecialMatcher, protected: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[str, int | None]]:
        """Yield each run of plain text with the special token after it."""
        position = 0
        for start, stop, token_id in matcher.find(text, protected):
            yield text[position:start], token_id
            position = stop
            if token_id in self.vocabulary.strips_after:
                position = _end_of_space(text, stop)
        yield text[position:], None

    def _with_bos_and_eos(self, ids: list[int]) -> list[int]:
        if self.add_bos and ids[:1] == [self.special.bos]:
            log.warning("the text begins with the BOS token and another one is added")
        eos = [self.special.eos] if self.add_eos and self.special.eos is not None else []
        return [*self._bos(), *ids, *eos]

    def _bos(self) -> list[int]:
        return [self.special.bos] if self.add_bos and self.special.bos is not None else []

    # ---- ids to text ----

    def piece(self, token_id: int) -> bytes:
        """Return the bytes a token stands for; the literal text for control tokens."""
        kind = self.vocabulary.types[self._checked(token_id)]
        if kind == TokenType.UNUSED:
            return b""
        text = self.vocabulary.tokens[token_id]
        byte = byte_of(text) if kind == TokenType.BYTE else None
        if byte is not None:
            return bytes([byte])
        return self._piece_of(text) if kind == TokenType.NORMAL else text.encode("utf-8", "surrogateescape")

    def token_text(self, token_id: int) -> str:
        """Return the vocabulary's own spelling."""
        return self.vocabulary.tokens[self._checked(token_id)]

    def id_of(self, text: str) -> int | None:
        """Return the id of exactly that vocabulary entry."""
        return self.vocabulary.ids.get(text)

    def _checked(self, token_id: int) -> int:
        if not 0 <= token_id < self.vocab_size:
            raise RequestError(
                f"token id {token_id} is outside the vocabulary; expected 0 to {self.vocab_size - 1}"
            )
        return token_id


def _end_of_space(text: str, start: int) -> int:
    found = _SPACE.match(text, start)
    return found.end() if found else start


def _matcher(vocabulary: Vocabulary, *types: TokenType) -> SpecialMatcher:
    texts = [(vocabulary.tokens[token_id], token_id) for token_id in vocabulary.ids_of_type(*types)]
    return SpecialMatcher({text: token_id for text, token_id in texts if text})
