"""Gemma 4's BPE: ``tokenizer.ggml.model = gemma4``.

Merges over characters of plain UTF-8 with ``▁`` for the space; lines and runs of newlines are pieces, and
a character that is no token becomes its ``<0xHH>`` bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.descriptors import TokenizerDescriptor
from jackfield.gguf import Metadata
from jackfield.hooks import hookimpl
from jackfield.text.bpe import bpe_encoder, parse_merges, split_by
from jackfield.text.contract import Tokenizer
from jackfield.text.pretokenize import PRE_RULES
from jackfield.text.tokenizing import VocabularyTokenizer
from jackfield.text.vocabulary import VocabularyDefaults, read_vocabulary

SPACE = "▁"


def build(metadata: Metadata) -> Tokenizer:
    """Build the tokenizer of a checkpoint.

    Raises:
        CheckpointError: The vocabulary is damaged.
    """
    # the published files say that BOS is not added, and every prompt begins with it
    vocabulary = read_vocabulary(metadata, VocabularyDefaults(add_bos=True))
    unknown = vocabulary.special.unknown
    named = {} if unknown is None else {vocabulary.tokens[unknown]: unknown}
    encode = bpe_encoder(
        {**vocabulary.visible_ids(), **vocabulary.byte_ids(), **named},
        parse_merges(vocabulary.merges),
        hidden=vocabulary.ids,
        steps=split_by(PRE_RULES["gemma4"].patterns),
        unknown=next(iter(named), None),
        byte_fallback=True,
    )
    return VocabularyTokenizer(vocabulary, lambda text: encode(text.replace(" ", SPACE)), piece_of)


def piece_of(text: str) -> bytes:
    """Return the bytes of a normal token."""
    return text.replace(SPACE, " ").encode("utf-8", "surrogateescape")


@hookimpl
def jackfield_tokenizers() -> Sequence[TokenizerDescriptor]:
    """Declare Gemma 4's tokenizer."""
    return [
        TokenizerDescriptor(
            name="gemma4",
            summary="BPE over UTF-8 with byte fallback, as Gemma 4 writes it",
            factory="jackfield_plugins.tokenizers.gemma4:build",
        )
    ]
