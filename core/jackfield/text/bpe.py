"""Byte-pair encoding of plain text, on the ``tokenizers`` package.

Special tokens never get here: they are cut out before, and are not in the vocabulary used here, so that no
text can merge into one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from jackfield.errors import CheckpointError

__all__ = ["Merge", "bpe_encoder", "parse_merges", "split_by"]

Merge = tuple[str, str]


def parse_merges(merges: Sequence[str]) -> list[Merge]:
    """Split each ``"left right"`` at its first space that is not the first character.

    Raises:
        CheckpointError: An entry has no such space.
    """
    pairs: list[Merge] = []
    for rank, merge in enumerate(merges):
        cut = merge.find(" ", 1)
        if cut < 0:
            raise CheckpointError(
                f"tokenizer.ggml.merges[{rank}] is {merge!r}, expected two tokens and a space;"
                " the file is damaged"
            )
        pairs.append((merge[:cut], merge[cut + 1 :]))
    return pairs


def split_by(patterns: Sequence[str]) -> list[pre_tokenizers.PreTokenizer]:
    """Return pre-tokenizers that isolate the matches of each pattern in turn."""
    return [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]


def bpe_encoder(
    ids: Mapping[str, int],
    merges: list[Merge],
    *,
    hidden: Mapping[str, int],
    steps: Sequence[pre_tokenizers.PreTokenizer] = (),
    unknown: str | None = None,
    byte_fallback: bool = False,
    ignore_merges: bool = False,
) -> Callable[[str], list[int]]:
    """Return a function from plain text to ids.

    Args:
        ids: Text to id of every token that text may turn into.
        hidden: The vocabulary's other tokens; merges that touch them are left out.
        steps: What cuts a text into pieces; no merge crosses a cut.
        unknown: Token for a character that is none, after ``byte_fallback`` to ``<0xHH>`` tokens.

    Raises:
        CheckpointError: A merge names a text that is not a token.
    """
    model = _model(
        dict(ids), merges, hidden, unknown, byte_fallback=byte_fallback, ignore_merges=ignore_merges
    )
    tokenizer = Tokenizer(model)
    if steps:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(steps))

    def encode(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    return encode


def _model(
    ids: dict[str, int],
    merges: list[Merge],
    hidden: Mapping[str, int],
    unknown: str | None,
    *,
    byte_fallback: bool,
    ignore_merges: bool,
) -> models.BPE:
    def build(pairs: list[Merge]) -> models.BPE:
        return models.BPE(
            ids,
            pairs,
            unk_token=unknown,
            fuse_unk=unknown is not None,
            byte_fallback=byte_fallback,
            ignore_merges=ignore_merges,
        )

    try:
        return build(merges)
    except Exception as error:
        # the package names one token that a merge lacks; hidden ones are expected, others are damage
        missing = _missing(ids, merges)
        if not missing or missing - hidden.keys():
            lacking = min(missing - hidden.keys(), default=str(error))
            raise CheckpointError(
                f"tokenizer.ggml.merges needs {lacking!r}, which is no token; the file is damaged"
            ) from error
    return build([(left, right) for left, right in merges if not missing & {left, right, left + right}])


def _missing(ids: Mapping[str, int], merges: list[Merge]) -> set[str]:
    needed = set(chain.from_iterable(merges))
    needed.update(map("".join, merges))
    return needed - ids.keys()
