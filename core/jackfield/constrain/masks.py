"""A grammar at work on one answer: what may come next, so that the answer is whole before its tokens run out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

from jackfield.constrain.closing import way_out
from jackfield.constrain.vocabulary import Vocabulary
from jackfield.errors import JackfieldError

__all__ = ["GrammarMask"]

Bits = npt.NDArray[np.uint32]
MOST_REFUSALS = 3
NUM_ATTEMPTS = 3


class GrammarMask:
    """A ``TokenMask`` over one grammar; the tokens that end an answer are allowed once it is complete.

    While tokens are plenty, whatever the grammar allows is allowed. As the limit comes near, a token is admitted
    only if the answer can still be completed after it, one token being kept for the end; once nothing else
    fits, exactly the tokens of the way out are allowed. A grammar that has none in time is not held back: the
    answer is then cut at a valid beginning.

    Args:
        matcher: The grammar's own copy. ``letters`` is the same over the vocabulary's letters.
        max_tokens: All tokens the answer may have; ``None`` for no care about the limit.
        closers: Letters of the tags that lead out of free text.
        most_growth: By how many tokens the way out can get longer with one more token, at most.
    """

    def __init__(
        self,
        matcher: LLMatcher,
        letters: LLMatcher,
        vocabulary: Vocabulary,
        *,
        max_tokens: int | None = None,
        closers: Sequence[Sequence[int]] = (),
        most_growth: int = 0,
    ) -> None:
        self._matcher = matcher
        self._letters = letters
        self._unread: list[int] = []  # tokens that the letters have not seen
        self._vocabulary = vocabulary
        self._closers = closers
        self._most_growth = most_growth
        self._num_words = -(-vocabulary.size // 32)
        self._room = max_tokens
        self._way_out: list[int] | None = None
        self._age = 0  # tokens since the way out was found; it is the present one's at 0
        self._is_lost = False  # there is no way out in time
        self._refused: list[int] = []
        self._next: tuple[int, list[int] | None] | None = None

    def bitmask(self) -> Bits | None:
        """Return the tokens allowed next."""
        leading = self._needed_way_out()
        if leading and self._is_last_chance(leading):
            return self._only(leading[:1])
        if leading is not None and len(self._refused) > MOST_REFUSALS:
            return self._only(leading[:1] or self._vocabulary.ends)
        if self._matcher.is_stopped():
            return self._only(self._vocabulary.ends)
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint32)[: self._num_words].copy()
        if _has(bits, self._vocabulary.end):
            _set(bits, self._vocabulary.ends)
        _clear(bits, self._refused)
        return bits

    def admits(self, token_id: int) -> bool:
        """Tell whether the answer can still be completed after that token; if not, ``bitmask`` has changed."""
        leading = self._needed_way_out()
        if leading is None or token_id in self._vocabulary.ends:
            return True
        assert self._room is not None
        is_leading = leading[:1] == [token_id]
        after = leading[1:] if is_leading else self._way_out_after(token_id, leading)
        self._next = (token_id, after)
        room = self._room - 1
        if after is not None and (len(after) < max(room, 1) or is_leading):
            return True
        self._refused.append(token_id)
        return False

    def accept(self, token_id: int) -> None:
        """Advance by the token that was picked.

        Raises:
            JackfieldError: The grammar does not allow it, or its limits were exceeded on the way.
        """
        if token_id in self._vocabulary.ends:
            return
        if not self._matcher.consume_token(token_id):
            raise JackfieldError(
                f"the constraint cannot go on after token {token_id}: {_one_line(self._matcher.get_error())}"
            )
        self._age += 1
        self._unread.append(token_id)
        if self._next is not None and self._next[0] == token_id:
            self._way_out, self._age = self._next[1], 0
        self._next = None
        self._refused.clear()
        if self._room is not None:
            self._room -= 1

    @property
    def is_complete(self) -> bool:
        """Whether what was picked so far is a whole valid answer."""
        return bool(self._matcher.is_accepting())

    # ---- the limit ----

    def _needed_way_out(self) -> list[int] | None:
        """Return how to complete the answer from here; ``None`` while there is no need to know."""
        if self._room is None or self._is_lost:
            return None
        if self._way_out is not None and self._age == 0:
            return self._way_out if self._is_near(len(self._way_out)) else None
        if self._way_out is not None and not self._is_near(
            len(self._way_out) + self._age * self._most_growth
        ):
            return None
        self._way_out, self._age = self._find(self._read_letters(), self._room, NUM_ATTEMPTS), 0
        self._is_lost = self._way_out is None
        return self._way_out if self._way_out is not None and self._is_near(len(self._way_out)) else None

    def _is_near(self, num_tokens: int) -> bool:
        assert self._room is not None
        return num_tokens + self._most_growth >= self._room - 1

    def _is_last_chance(self, leading: list[int]) -> bool:
        assert self._room is not None
        return len(leading) >= self._room - 1

    def _way_out_after(self, token_id: int, leading: list[int]) -> list[int] | None:
        assert self._room is not None
        matcher = self._matcher.deep_copy()
        if not matcher.consume_token(token_id):
            return None
        if matcher.is_accepting():
            return []
        if leading and self._leads_out(matcher, leading):
            return leading
        letters = self._read_letters().deep_copy()
        letters.consume_tokens(self._vocabulary.letters_of_token(token_id))
        return self._find(letters, self._room - 1)

    def _leads_out(self, matcher: LLMatcher, tokens: list[int]) -> bool:
        if matcher.validate_tokens(tokens) != len(tokens):
            return False
        end = matcher.deep_copy()
        return bool(end.consume_tokens(tokens) and end.is_accepting())

    def _read_letters(self) -> LLMatcher:
        """Return the matcher of letters, up to date."""
        for token_id in self._unread:
            self._letters.consume_tokens(self._vocabulary.letters_of_token(token_id))
        self._unread.clear()
        return self._letters

    def _find(self, letters: LLMatcher, most_tokens: int, num_attempts: int = 1) -> list[int] | None:
        return way_out(letters, self._vocabulary, self._closers, most_tokens, num_attempts=num_attempts)

    def _only(self, token_ids: Iterable[int]) -> Bits:
        bits = np.zeros(self._num_words, np.uint32)
        _set(bits, token_ids)
        return bits


def _has(bits: Bits, token_id: int) -> bool:
    return bool(bits[token_id // 32] >> np.uint32(token_id % 32) & np.uint32(1))


def _set(bits: Bits, token_ids: Iterable[int]) -> None:
    for token_id in token_ids:
        bits[token_id // 32] |= np.uint32(1 << (token_id % 32))


def _clear(bits: Bits, token_ids: Iterable[int]) -> None:
    for token_id in token_ids:
        bits[token_id // 32] &= np.uint32(0xFFFFFFFF ^ (1 << (token_id % 32)))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
