"""Constraints to token masks: what may come next so that the answer is valid when it ends.

Grammars are compiled by ``llguidance`` under limits on time and size, and kept for the next request that asks for
the same. A mask is a ``TokenMask``: the sampler asks it before each token and tells it which one was picked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import cached_property
from threading import Lock
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer
from llguidance._lib import LLParserLimits
from llguidance.gbnf_to_lark import GbnfToLarkError, gbnf_to_lark

from jackfield.constrain.limits import check_schema, check_text
from jackfield.errors import JackfieldError, RequestError
from jackfield.service.requests import Constraint
from jackfield.text.contract import Tokenizer

__all__ = ["GrammarMask", "Grammars"]

Bits = npt.NDArray[np.uint32]
CACHED_GRAMMARS = 64
LIMITS = LLParserLimits(
    max_items_in_row=2_000,
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    max_lexer_states=50_000,
    max_grammar_size=100_000,
    verbose_errors=False,
)
COMPACT: Any = {"whitespace_flexible": False}
"""JSON without optional blanks: a model could spend all its tokens on them."""


class Grammars:
    """The compiled constraints of one model's vocabulary. Safe to use from several threads.

    Args:
        tokenizer: Gives each token's bytes, and which ids end an answer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ready: OrderedDict[bytes, LLMatcher] = OrderedDict()
        self._lock = Lock()

    def mask(self, constraint: Constraint) -> GrammarMask:
        """Return a fresh mask.

        Raises:
            RequestError: The constraint is malformed, too large or too complex; ``param`` names the field.
        """
        key = msgspec.json.encode(constraint)
        with self._lock:
            matcher = self._ready.get(key)
            if matcher is not None:
                self._ready.move_to_end(key)
        if matcher is None:
            matcher = self._compile(constraint)
            with self._lock:
                self._ready[key] = matcher
                while len(self._ready) > CACHED_GRAMMARS:
                    self._ready.popitem(last=False)
        return GrammarMask(matcher.deep_copy(), self._tokenizer)

    def _compile(self, constraint: Constraint) -> LLMatcher:
        matcher = LLMatcher(self._vocabulary, _grammar_of(constraint), log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise RequestError(
                f"{constraint.kind} constraint cannot be compiled: {_one_line(matcher.get_error())}",
                param="response_format",
                code="invalid_grammar",
            )
        return matcher

    @cached_property
    def _vocabulary(self) -> LLTokenizer:
        vocabulary: Any = _Vocabulary(self._tokenizer)  # of the right form, though not of its class
        return LLTokenizer(vocabulary, n_vocab=self._tokenizer.vocab_size)


class _Vocabulary:
    """A tokenizer as ``llguidance`` reads one: the attributes are named as it asks for them."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = tokenizer.special
        ids = range(tokenizer.vocab_size)
        self._tokenizer = tokenizer
        self.eos_token_id = _end_token(tokenizer)
        self.bos_token_id = special.bos
        self.special_token_ids = [i for i in ids if tokenizer.is_control(i)]
        hidden = {*self.special_token_ids, *special.eog}
        # a token that stands for no text must not look like the end of the trie
        self.tokens = [_special_spelling(i) if i in hidden else tokenizer.piece(i) for i in ids]

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


class GrammarMask:
    """A ``TokenMask`` over one grammar; the tokens that end an answer are allowed once it is complete."""

    def __init__(self, matcher: LLMatcher, tokenizer: Tokenizer) -> None:
        self._matcher = matcher
        self._end = _end_token(tokenizer)
        self._ends = sorted(tokenizer.special.eog)
        self._num_words = -(-tokenizer.vocab_size // 32)

    def bitmask(self) -> Bits | None:
        """Return the tokens allowed next."""
        if self._matcher.is_stopped():
            return self._only_ends()
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint32)[: self._num_words].copy()
        if _has(bits, self._end):
            _set(bits, self._ends)
        return bits

    def accept(self, token_id: int) -> None:
        """Advance by the token that was picked.

        Raises:
            JackfieldError: The grammar's own limits were exceeded on the way.
        """
        if token_id in self._ends:
            return
        if not self._matcher.consume_token(token_id):
            raise JackfieldError(
                f"the constraint cannot go on after token {token_id}: {_one_line(self._matcher.get_error())}"
            )

    @property
    def is_complete(self) -> bool:
        """Whether what was picked so far is a whole valid answer."""
        return bool(self._matcher.is_accepting())

    def _only_ends(self) -> Bits:
        bits = np.zeros(self._num_words, np.uint32)
        _set(bits, self._ends)
        return bits


def _grammar_of(constraint: Constraint) -> str:
    make = MAKERS.get(constraint.kind)
    assert make is not None, constraint.kind
    return make(constraint.value)


def _any_object(_: Any) -> str:
    grammar: str = LLMatcher.grammar_from_json_schema({"type": "object"}, overrides=COMPACT)
    return grammar


def _schema(value: Any) -> str:
    check_schema(value)
    try:
        grammar: str = LLMatcher.grammar_from_json_schema(value, overrides=COMPACT)
    except ValueError as error:
        raise RequestError(f"the JSON schema cannot be read: {error}", param="response_format") from None
    return grammar


def _regex(value: Any) -> str:
    grammar: str = LLMatcher.grammar_from_regex(check_text(value, "regex"))
    return grammar


def _choice(value: Any) -> str:
    if not isinstance(value, list) or not value:
        raise RequestError("choice must be a list of texts", param="response_format")
    texts = [check_text(text, "choice") for text in cast("Any", value)]
    quoted = [msgspec.json.encode(text).decode() for text in texts]
    return _lark(f"start: {' | '.join(quoted)}")


def _lark(value: Any) -> str:
    grammar: str = LLMatcher.grammar_from_lark(check_text(value, "lark"))
    return grammar


def _gbnf(value: Any) -> str:
    try:
        return _lark(gbnf_to_lark(check_text(value, "gbnf")))
    except GbnfToLarkError as error:
        raise RequestError(
            f"the GBNF grammar cannot be read: {_one_line(str(error))}", param="response_format"
        ) from None


MAKERS: dict[str, Callable[[Any], str]] = {
    "json": _any_object,
    "schema": _schema,
    "regex": _regex,
    "choice": _choice,
    "lark": _lark,
    "gbnf": _gbnf,
}


def _end_token(tokenizer: Tokenizer) -> int:
    special = tokenizer.special
    found = special.eot if special.eot is not None else special.eos
    return found if found is not None else min(special.eog, default=0)


def _special_spelling(token_id: int) -> bytes:
    """Spell a token as the library marks special ones, which no grammar matches as text."""
    return b"\xff[" + str(token_id).encode() + b"]"


def _has(bits: Bits, token_id: int) -> bool:
    return bool(bits[token_id // 32] >> np.uint32(token_id % 32) & np.uint32(1))


def _set(bits: Bits, token_ids: Iterable[int]) -> None:
    for token_id in token_ids:
        bits[token_id // 32] |= np.uint32(1 << (token_id % 32))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
