"""Small but real vocabularies, trained on the paragraph below, with every byte and some control tokens."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CONTROL_TOKENS", "TinyVocabulary", "byte_level", "sentence_pieces"]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VISIBLE_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")

PARAGRAPH = """
The old mill stands by the river, and the river turns the wheel. In the morning the miller opens the
sluice, the water comes down the channel, and the stones begin to grind. What is the weather today? It
is raining in the hills, so there will be more water than the wheel can use. The miller's daughter
counts the sacks: one, two, three, four, five, six, seven, eight, nine, ten. She writes the number in
a book and tells the driver where to take them. "Hello," he says, "how are you?" and she answers that
she is well, thank you. Then the cart rolls over the bridge and into the town, where the bakers wait.
There they bake bread, which the people of the town eat with butter and with cheese.
"""


@dataclass(frozen=True)
class TinyVocabulary:
    """A vocabulary as a checkpoint stores it.

    Attributes:
        model: ``tokenizer.ggml.model``.
        tokens: Texts by id.
        types: Token types by id.
        merges: Pairs in rank order; ``gpt2`` only.
        scores: Scores by id; ``llama`` only.
        settings: Further keys below ``tokenizer.ggml.``.
    """

    model: str
    tokens: list[str]
    types: list[int]
    merges: list[str] = field(default_factory=list[str])
    scores: list[float] = field(default_factory=list[float])
    settings: Mapping[str, int | bool | str] = field(default_factory=dict[str, "int | bool | str"])

    @property
    def added_ids(self) -> list[int]:
        """Ids of control tokens, tags and padding."""
        added = (CONTROL, USER_DEFINED, UNUSED)
        return [index for index, kind in enumerate(self.types) if kind in added]


@functools.cache
def byte_level(size: int) -> TinyVocabulary:
    """Return a byte-level BPE vocabulary in the manner of qwen2: bytes, merges, then added tokens."""
    added = (*CONTROL_TOKENS, *VISIBLE_TOKENS)
    alphabet = _byte_alphabet()
    room = size - len(alphabet) - len(added)
    if room < 0:
        raise ValueError(f"vocab_size is {size}; a byte-level vocabulary has {size - room} tokens at least")
    words = Counter("".join(map(alphabet.__getitem__, word.encode())) for word in _words())
    merges = _train(words, room)
    trained = list(alphabet.values()) + [left + right for left, right in merges]
    padding = [f"[PAD{i}]" for i in range(room - len(merges))]
    types = [NORMAL] * len(trained) + [CONTROL] * len(CONTROL_TOKENS) + [USER_DEFINED] * len(VISIBLE_TOKENS)
    tokens = [*trained, *added, *padding]
    return TinyVocabulary(
        model="gpt2",
        tokens=tokens,
        types=types + [UNUSED] * len(padding),
        merges=[f"{left} {right}" for left, right in merges],
        settings={
            "pre": "qwen2",
            "eos_token_id": tokens.index("<|im_end|>"),
            "padding_token_id": tokens.index("<|endoftext|>"),
            "add_bos_token": False,
        },
    )


@functools.cache
def sentence_pieces(size: int) -> TinyVocabulary:
    """Return a SentencePiece vocabulary: three specials, 256 bytes, added tokens, pieces by score."""
    added = (*CONTROL_TOKENS[1:], *VISIBLE_TOKENS)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *added]
    types = [
        UNKNOWN,
        CONTROL,
        CONTROL,
        *[BYTE] * 256,
        CONTROL,
        CONTROL,
        *[USER_DEFINED] * len(VISIBLE_TOKENS),
    ]
    words = Counter(word.replace(" ", "▁") for word in _words())
    letters = sorted({letter for word in words for letter in word})
    room = size - len(tokens) - len(letters)
    if room < 0:
        raise ValueError(
            f"vocab_size is {size}; a SentencePiece vocabulary has {size - room} tokens at least"
        )
    pieces = [left + right for left, right in _train(words, room)]
    padding = [f"[PAD{i}]" for i in range(room - len(pieces))]
    rank = {piece: index for index, piece in enumerate([*pieces, *letters])}
    tokens += [*pieces, *letters, *padding]
    return TinyVocabulary(
        model="llama",
        tokens=tokens,
        types=types + [NORMAL] * (len(pieces) + len(letters)) + [UNUSED] * len(padding),
        scores=[float(-rank.get(token, 0)) for token in tokens],
        settings={
            "pre": "default",
            "bos_token_id": 1,
            "eos_token_id": 2,
            "unknown_token_id": 0,
            "add_bos_token": True,
            "add_space_prefix": True,
        },
    )


def _words() -> list[str]:
    """Cut the paragraph where the pre-tokenisers of both vocabularies cut it."""
    return re.findall(r" ?[A-Za-z]+| ?[^\sA-Za-z]+|\s", " ".join(PARAGRAPH.split()))


def _byte_alphabet() -> dict[int, str]:
    """Return the printable character that stands for each byte, in the order of the characters."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def _train(words: Counter[str], count: int) -> list[tuple[str, str]]:
    """Return up to ``count`` merges: the most frequent pair each time, the first one met on ties."""
    split = {word: list(word) for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = pairs.most_common(1)[0][0]
        merges.append(best)
        for parts in split.values():
            _merge(parts, best)
    return merges


def _merge(parts: list[str], pair: tuple[str, str]) -> None:
    index = 0
    while index < len(parts) - 1:
        if (parts[index], parts[index + 1]) == pair:
            parts[index : index + 2] = ["".join(pair)]
        index += 1
