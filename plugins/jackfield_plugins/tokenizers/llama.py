"""SentencePiece BPE: ``tokenizer.ggml.model = llama`` (Llama 1 and 2, Mistral 7B, Phi-3, Gemma 1 to 3).

The file has scores instead of merges: of all neighbours whose union is a token, the union with the highest
score merges first. Sorting every possible merge by the score of its result gives the ranks that
rank-driven BPE needs for the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jackfield.descriptors import TokenizerDescriptor
from jackfield.gguf import Metadata
from jackfield.hooks import hookimpl
from jackfield.text.bpe import Merge, bpe_encoder
from jackfield.text.contract import Tokenizer
from jackfield.text.tokenizing import VocabularyTokenizer
from jackfield.text.vocabulary import Vocabulary, VocabularyDefaults, read_vocabulary
from jackfield_plugins.tokenizers import gemma4

DEFAULTS = VocabularyDefaults(bos=1, eos=2, unknown=0, add_bos=True, add_space_prefix=True)


def build(metadata: Metadata) -> Tokenizer:
    """Build the tokenizer of a checkpoint.

    Raises:
        CheckpointError: The vocabulary is damaged.
    """
    if metadata.text("tokenizer.ggml.pre", "") == "gemma4":  # Ollama's converter writes model 'llama' for it
        return gemma4.build(metadata)
    vocabulary = read_vocabulary(metadata, DEFAULTS)
    ids = vocabulary.visible_ids()
    merges = merges_from_scores(ids, vocabulary.scores)
    encode = bpe_encoder(
        {**ids, **vocabulary.byte_ids(), **_unknown(vocabulary)},
        merges,
        hidden={},
        unknown=next(iter(_unknown(vocabulary)), None),
        byte_fallback=True,
    )
    return VocabularyTokenizer(
        vocabulary,
        lambda text: encode(text.replace(" ", gemma4.SPACE)),
        gemma4.piece_of,
        run_prefix=" " if vocabulary.add_space_prefix else "",
    )


def merges_from_scores(ids: Mapping[str, int], scores: Sequence[float]) -> list[Merge]:
    """Return every way to make a token from two others, the best-scored token first."""
    candidates = [
        (-scores[token_id], ids[text[:cut]], ids[text[cut:]], text[:cut], text[cut:])
        for text, token_id in ids.items()
        for cut in range(1, len(text))
        if text[:cut] in ids and text[cut:] in ids
    ]
    candidates.sort()
    return [(left, right) for _, _, _, left, right in candidates]


def _unknown(vocabulary: Vocabulary) -> dict[str, int]:
    unknown = vocabulary.special.unknown
    return {} if unknown is None else {vocabulary.tokens[unknown]: unknown}


@hookimpl
def jackfield_tokenizers() -> Sequence[TokenizerDescriptor]:
    """Declare SentencePiece BPE."""
    return [
        TokenizerDescriptor(
            name="llama",
            summary="SentencePiece BPE driven by scores, with byte fallback",
            factory="jackfield_plugins.tokenizers.llama:build",
        )
    ]
