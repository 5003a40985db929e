"""Token ids to text while they arrive: whole characters only, hidden tokens left out."""

from __future__ import annotations

import codecs
from collections.abc import Set as AbstractSet

from jackfield.text.contract import Tokenizer

__all__ = ["StreamDetokenizer"]


class StreamDetokenizer:
    """The text of one generation.

    Bytes of an unfinished character are held back; bytes that can never become one are U+FFFD.

    Args:
        preserved: Control tokens that are shown, because the chat format reads them.
        is_fresh: The text is not the continuation of another, so SentencePiece's first space goes.
    """

    def __init__(
        self, tokenizer: Tokenizer, preserved: AbstractSet[int] = frozenset(), *, is_fresh: bool = True
    ) -> None:
        self._tokenizer = tokenizer
        self._preserved = preserved
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._drops_space = is_fresh and tokenizer.strips_leading_space()

    def feed(self, token_id: int) -> str:
        """Return the text that this token completes; empty for a hidden token."""
        if token_id in self._tokenizer.control_ids and token_id not in self._preserved:
            return ""
        return self._begun(self._decoder.decode(self._tokenizer.piece(token_id)))

    def finish(self) -> str:
        """Return what is left of an unfinished character."""
        return self._begun(self._decoder.decode(b"", final=True))

    def _begun(self, text: str) -> str:
        if not text or not self._drops_space:
            return text
        self._drops_space = False
        return text.removeprefix(" ")
