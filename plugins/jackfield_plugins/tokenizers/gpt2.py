"""Byte-level BPE: ``tokenizer.ggml.model = gpt2`` (GPT-2, Qwen, Llama 3, tekken, gpt-oss and most others).

Text is cut by the rule that ``tokenizer.ggml.pre`` names, each piece becomes UTF-8, each byte a printable
character, and characters merge by rank. Special tokens are matched before any of this.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import pre_tokenizers

from jackfield.descriptors import TokenizerDescriptor
from jackfield.errors import CheckpointError
from jackfield.gguf import Metadata
from jackfield.hooks import hookimpl
from jackfield.text.bpe import bpe_encoder, parse_merges, split_by
from jackfield.text.contract import Tokenizer
from jackfield.text.pretokenize import pre_rule
from jackfield.text.tokenizing import VocabularyTokenizer
from jackfield.text.vocabulary import Vocabulary, VocabularyDefaults, read_vocabulary

# bytes that stand for themselves in the printable alphabet
_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
# bytes that occur in UTF-8 at all
_UTF8_BYTES = (*range(0xC0), *range(0xC2, 0xF5))
OLLAMA_RULES = {"gptoss": "gpt-4o", "mistral3": "tekken"}


def _alphabet() -> list[str]:
    """Return the character of each byte: printable ones themselves, the rest from U+0100 on."""
    shifted = iter(range(0x100, 0x200))
    return [chr(byte) if byte in _PRINTABLE else chr(next(shifted)) for byte in range(256)]


ALPHABET = _alphabet()
_LATIN1 = {ord(char): byte for byte, char in enumerate(ALPHABET)}


def build(metadata: Metadata) -> Tokenizer:
    """Build the tokenizer of a checkpoint.

    Raises:
        CheckpointError: The vocabulary is damaged, or its ``pre`` rule is not known.
    """
    rule = pre_rule(_rule_name(metadata))
    # 11 is the end-of-text token of the one family of files that leaves the keys out (Falcon)
    vocabulary = read_vocabulary(metadata, VocabularyDefaults(bos=11, eos=11, add_bos=rule.add_bos))
    ids = vocabulary.visible_ids()
    steps = [*split_by(rule.patterns), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    encode = bpe_encoder(
        ids,
        parse_merges(vocabulary.merges),
        hidden=vocabulary.ids,
        steps=steps,
        unknown=_unknown(vocabulary, ids),
        ignore_merges=rule.ignore_merges,
    )
    return VocabularyTokenizer(vocabulary, encode, piece_of)


def _rule_name(metadata: Metadata) -> str:
    """Return what the file says; ``default`` in files of Ollama's converter stands for the family's own rule."""
    said = metadata.text("tokenizer.ggml.pre", "")
    return said if said not in ("", "default") else OLLAMA_RULES.get(metadata.architecture, said)


def piece_of(text: str) -> bytes:
    """Return the bytes of a normal token: its characters through the alphabet, backwards."""
    try:
        return text.translate(_LATIN1).encode("latin-1") if _is_in_alphabet(text) else text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def _is_in_alphabet(text: Sequence[str]) -> bool:
    return all(ord(char) in _LATIN1 for char in text)


def _unknown(vocabulary: Vocabulary, ids: dict[str, int]) -> str | None:
    """Return the token for bytes that are none, where the vocabulary needs one; added to ``ids``."""
    missing = [byte for byte in _UTF8_BYTES if ALPHABET[byte] not in ids]
    if not missing:
        return None
    unknown = vocabulary.special.unknown
    if unknown is None:
        raise CheckpointError(
            f"the vocabulary has no token for {len(missing)} bytes, the first {missing[0]:#04x}, and no"
            " unknown token; some texts could not be read, so the file is damaged"
        )
    ids[vocabulary.tokens[unknown]] = unknown
    return vocabulary.tokens[unknown]


@hookimpl
def jackfield_tokenizers() -> Sequence[TokenizerDescriptor]:
    """Declare byte-level BPE."""
    return [
        TokenizerDescriptor(
            name="gpt2",
            summary="Byte-level BPE, every published pre-tokenisation rule",
            factory="jackfield_plugins.tokenizers.gpt2:build",
        )
    ]
