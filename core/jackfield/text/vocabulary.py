"""A checkpoint's vocabulary: tokens, their types, and the ids with a meaning, after repair.

Published files mark turn-end tokens as normal text, delimiters as hidden, or leave the turn-end key out;
the repairs here make them usable without touching the file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import compress
from typing import TYPE_CHECKING

from jackfield.errors import CheckpointError
from jackfield.text.contract import SpecialTokens

if TYPE_CHECKING:
    from jackfield.gguf import Metadata

__all__ = ["TokenType", "Vocabulary", "VocabularyDefaults", "byte_of", "read_vocabulary"]

log = logging.getLogger(__name__)

PREFIX = "tokenizer.ggml."
MIN_TOKENS, MAX_TOKENS = 2, 1 << 20
# the longest tokens in use are runs of 128 spaces or dashes; merges of a longer one would cost its square
MAX_TOKEN_CHARS = 1024

_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")


class TokenType(IntEnum):
    """What the file says a token is."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


EOT_TEXTS = (
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
)
EOG_TEXTS = (
    *EOT_TEXTS,
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "</s>",
    "<|eom_id|>",
    "[EOS]",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
)
# end a file of an infill prompt, and so a generation
FIM_EOG_TEXTS = {
    "fim_pad_token_id": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>"),
    "fim_rep_token_id": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep_token_id": ("<|file_sep|>",),
}
FIM_KEYS = {
    "fim_prefix": ("fim_pre_token_id", "prefix_token_id", ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>")),
    "fim_suffix": ("fim_suf_token_id", "suffix_token_id", ("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>")),
    "fim_middle": ("fim_mid_token_id", "middle_token_id", ("<|fim_middle|>", "<fim-middle>", "<fim_middle>")),
}
HARMONY_DELIMITERS = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")


@dataclass(frozen=True)
class VocabularyDefaults:
    """What an algorithm assumes where the file has no key."""

    bos: int | None = None
    eos: int | None = None
    unknown: int | None = None
    padding: int | None = None
    add_bos: bool = False
    add_eos: bool = False
    add_space_prefix: bool = False


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, with everything the file says about them.

    Attributes:
        types: ``TokenType`` values, repaired.
        ids: Text to id; of several tokens with one text the last.
        merges: ``"left right"`` in rank order.
        strips_after: Ids that swallow the white space following them in a text.
    """

    tokens: Sequence[str]
    types: Sequence[int]
    scores: Sequence[float]
    merges: Sequence[str]
    ids: dict[str, int]
    special: SpecialTokens
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool
    strips_after: frozenset[int] = frozenset()

    def ids_of_type(self, *types: TokenType) -> list[int]:
        """Return the ids of tokens of those types, ascending."""
        return _ids_of_type(self.types, *types)

    def visible_ids(self) -> dict[str, int]:
        """Return text to id of the tokens that plain text may turn into: normal ones of valid text."""
        normal = self.ids_of_type(TokenType.NORMAL)
        visible = {text: token_id for token_id in normal if (text := self.tokens[token_id])}
        if _is_valid("".join(visible)):
            return visible
        return {text: token_id for text, token_id in visible.items() if _is_valid(text)}

    def byte_ids(self) -> dict[str, int]:
        """Return text to id of the tokens that stand for one byte."""
        return {self.tokens[token_id]: token_id for token_id in self.ids_of_type(TokenType.BYTE)}


def byte_of(text: str) -> int | None:
    """Return the byte that ``<0xHH>`` stands for; ``None`` for any other text."""
    found = _BYTE.fullmatch(text)
    return int(found[1], 16) if found else None


def read_vocabulary(metadata: Metadata, defaults: VocabularyDefaults) -> Vocabulary:
    """Read, check and repair the vocabulary of a checkpoint.

    Raises:
        CheckpointError: Lists of different lengths, a token or a list beyond the limits.
    """
    tokens = _tokens(metadata)
    types = _types(metadata, len(tokens))
    merges = metadata.texts(PREFIX + "merges") if PREFIX + "merges" in metadata else []
    ids = dict(zip(tokens, range(len(tokens)), strict=True))
    ids.pop("", None)
    reader = _IdReader(metadata, types, ids, _ordinary_ends(types, ids, merges))
    special = _special_tokens(reader, defaults)
    special = replace(special, eog=_end_of_generation(reader, special))
    _repair_types(tokens, types, ids, special.eog)
    _check_bytes(tokens, types)
    special = replace(special, eog=_without_visible_ends(types, ids, special.eog))
    return Vocabulary(
        tokens=tokens,
        types=types,
        scores=_scores(metadata, len(tokens)),
        merges=merges,
        ids=ids,
        special=special,
        add_bos=metadata.boolean(PREFIX + "add_bos_token", defaults.add_bos),
        add_eos=metadata.boolean(PREFIX + "add_eos_token", defaults.add_eos),
        add_space_prefix=metadata.boolean(PREFIX + "add_space_prefix", defaults.add_space_prefix),
        strips_after=_stripping(metadata, types, ids),
    )


def _tokens(metadata: Metadata) -> Sequence[str]:
    tokens = metadata.texts(PREFIX + "tokens")
    if not MIN_TOKENS <= len(tokens) <= MAX_TOKENS:
        raise CheckpointError(
            f"{PREFIX}tokens has {len(tokens)} entries, expected {MIN_TOKENS} to {MAX_TOKENS};"
            " the file is damaged or not a language model"
        )
    longest = max(tokens, key=len)
    if len(longest) > MAX_TOKEN_CHARS:
        raise CheckpointError(
            f"{PREFIX}tokens has an entry of {len(longest)} characters, expected at most {MAX_TOKEN_CHARS};"
            " the file is damaged"
        )
    return tokens


def _types(metadata: Metadata, num_tokens: int) -> list[int]:
    key = PREFIX + "token_type"
    types = metadata.integers(key) if key in metadata else [int(TokenType.NORMAL)] * num_tokens
    _check_length("token_type", len(types), num_tokens)
    return types


def _scores(metadata: Metadata, num_tokens: int) -> Sequence[float]:
    key = PREFIX + "scores"
    if key not in metadata:
        return [0.0] * num_tokens
    whole = metadata.type_name(key) == "ARRAY of INT32"  # as some converters write them
    scores = [float(score) for score in metadata.integers(key)] if whole else metadata.numbers(key)
    _check_length("scores", len(scores), num_tokens)
    return scores


def _check_length(key: str, length: int, num_tokens: int) -> None:
    if length != num_tokens:
        raise CheckpointError(
            f"{PREFIX}{key} has {length} entries, expected {num_tokens} as {PREFIX}tokens has;"
            " the file is damaged"
        )


class _IdReader:
    """Ids from keys, with ids outside the vocabulary left out, or from the first text that is a token."""

    def __init__(
        self, metadata: Metadata, types: Sequence[int], ids: dict[str, int], ordinary: set[str]
    ) -> None:
        self.metadata = metadata
        self.types = types
        self.num_tokens = len(types)
        self.ids = (
            {text: token_id for text, token_id in ids.items() if text not in ordinary} if ordinary else ids
        )

    def key(self, key: str, default: int | None = None) -> int | None:
        if PREFIX + key not in self.metadata:
            return default if default is not None and self._may_be_special(default) else None
        token_id = self.metadata.integer(PREFIX + key)
        if 0 <= token_id < self.num_tokens:
            return token_id
        log.warning(
            "%s%s is %d, outside the vocabulary of %d: ignored", PREFIX, key, token_id, self.num_tokens
        )
        return None

    def _may_be_special(self, token_id: int) -> bool:
        # an algorithm's default id is an ordinary word in most vocabularies that leave the key out
        untyped = PREFIX + "token_type" not in self.metadata
        return token_id < self.num_tokens and (untyped or self.types[token_id] != TokenType.NORMAL)

    def text(self, texts: Iterable[str]) -> int | None:
        return next((self.ids[text] for text in texts if text in self.ids), None)

    def within(self, token_ids: Iterable[int]) -> frozenset[int]:
        return frozenset(token_id for token_id in token_ids if 0 <= token_id < self.num_tokens)


def _ordinary_ends(types: Sequence[int], ids: dict[str, int], merges: Sequence[str]) -> set[str]:
    """Return end-like texts that merges make from plain text: ``</s>`` in vocabularies that saw HTML."""
    suspects = [text for text in EOG_TEXTS if text in ids and types[ids[text]] == TokenType.NORMAL]
    makers = {f"{text[:i]} {text[i:]}": text for text in suspects for i in range(1, len(text))}
    return {makers[merge] for merge in (frozenset(makers).intersection(merges) if makers else ())}


def _special_tokens(reader: _IdReader, defaults: VocabularyDefaults) -> SpecialTokens:
    eot = reader.key("eot_token_id")
    fim = {name: _fim(reader, *keys) for name, keys in FIM_KEYS.items()}
    suppressed = PREFIX + "suppress_tokens"
    return SpecialTokens(
        bos=reader.key("bos_token_id", defaults.bos),
        eos=reader.key("eos_token_id", defaults.eos),
        eot=eot if eot is not None else reader.text(EOT_TEXTS),
        unknown=reader.key("unknown_token_id", defaults.unknown),
        padding=reader.key("padding_token_id", defaults.padding),
        suppressed=reader.within(
            reader.metadata.integers(suppressed) if suppressed in reader.metadata else []
        ),
        fim_prefix=fim["fim_prefix"],
        fim_suffix=fim["fim_suffix"],
        fim_middle=fim["fim_middle"],
    )


def _fim(reader: _IdReader, key: str, old_key: str, texts: Iterable[str]) -> int | None:
    for name in (key, old_key):
        token_id = reader.key(name)
        if token_id is not None:
            return token_id
    return reader.text(texts)


def _end_of_generation(reader: _IdReader, special: SpecialTokens) -> frozenset[int]:
    found = [special.eos, special.eot, reader.key("eom_token_id")]
    for key, texts in FIM_EOG_TEXTS.items():
        token_id = reader.key(key)
        found.append(token_id if token_id is not None else reader.text(texts))
    found += [reader.ids.get(text) for text in EOG_TEXTS]
    return frozenset(token_id for token_id in found if token_id is not None)


def _repair_types(tokens: Sequence[str], types: list[int], ids: dict[str, int], eog: frozenset[int]) -> None:
    for token_id in _ids_of_type(types, TokenType.CONTROL):
        if "unused" in tokens[token_id]:
            types[token_id] = TokenType.UNUSED
    texts = set(EOG_TEXTS)
    for token_id in eog:
        if tokens[token_id] in texts:
            types[token_id] = TokenType.CONTROL
    for text in HARMONY_DELIMITERS:
        if text in ids:
            types[ids[text]] = TokenType.USER_DEFINED


def _check_bytes(tokens: Sequence[str], types: Sequence[int]) -> None:
    for token_id in _ids_of_type(types, TokenType.BYTE):
        if byte_of(tokens[token_id]) is None:
            raise CheckpointError(
                f"token {token_id} is of type byte and reads {tokens[token_id]!r}, expected '<0x00>' to"
                " '<0xFF>'; the file is damaged"
            )


def _without_visible_ends(types: list[int], ids: dict[str, int], eog: frozenset[int]) -> frozenset[int]:
    """Take out texts that look like an end but are not one in their family."""
    has = {text for text in EOG_TEXTS if text in ids} | ({"<|plamo:eos|>"} & ids.keys())
    if {"<|return|>", "<|call|>", "<|end|>"} <= has or {"<|calls|>", "<|flush|>", "<|end|>"} <= has:
        types[ids["<|end|>"]] = TokenType.USER_DEFINED
        eog -= {ids["<|end|>"]}
    if "</s>" in has and has & {"<|tool_response>", "<|plamo:eos|>"}:
        types[ids["</s>"]] = TokenType.NORMAL
        eog -= {ids["</s>"]}
    return eog


def _stripping(metadata: Metadata, types: list[int], ids: dict[str, int]) -> frozenset[int]:
    # the Phi-3 files carry no flag for it, so the reference engine goes by the model's name
    name = metadata.text("general.name", "").lower()
    if "phi3" not in name and "phi-3" not in name:
        return frozenset()
    special = _ids_of_type(types, TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
    return frozenset(special) - {ids.get(text, -1) for text in ("<unk>", "<s>", "<|endoftext|>")}


def _ids_of_type(types: Sequence[int], *wanted: TokenType) -> list[int]:
    """Return the ids of tokens of those types; without a step of the interpreter for each of 150,000 tokens."""
    is_wanted = frozenset(map(int, wanted)).__contains__
    return list(compress(range(len(types)), map(is_wanted, types)))


def _is_valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
