from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jackfield.errors import CheckpointError
from jackfield.gguf import Metadata
from jackfield.text.vocabulary import TokenType, Vocabulary, VocabularyDefaults, byte_of, read_vocabulary

MetadataOf = Callable[..., Metadata]


def read(metadata: Metadata) -> Vocabulary:
    return read_vocabulary(metadata, VocabularyDefaults())


def test_lists_of_different_lengths_are_damage(metadata_of: MetadataOf) -> None:
    with pytest.raises(CheckpointError, match="token_type has 2 entries, expected 3"):
        read(metadata_of(tokens=["a", "b", "c"], token_type=[1, 1]))
    with pytest.raises(CheckpointError, match="scores has 2 entries, expected 3"):
        read(metadata_of(tokens=["a", "b", "c"], scores=[0.5, 0.5]))


def test_a_vocabulary_needs_two_tokens(metadata_of: MetadataOf) -> None:
    with pytest.raises(CheckpointError, match="has 1 entries, expected 2 to"):
        read(metadata_of(tokens=["a"]))


def test_a_token_of_a_thousand_characters_and_more_is_damage(metadata_of: MetadataOf) -> None:
    with pytest.raises(CheckpointError, match="an entry of 1025 characters, expected at most 1024"):
        read(metadata_of(tokens=["a", "b" * 1025]))


def test_scores_may_be_whole_numbers_but_not_bytes(metadata_of: MetadataOf) -> None:
    assert list(read(metadata_of(tokens=["a", "b"], scores=[-1, -2])).scores) == [-1.0, -2.0]


@pytest.mark.parametrize("text", ["<0x-1>", "<0xGG>", "<0x1>", "0x11", "<0x11> "])
def test_a_byte_token_with_another_spelling_is_damage(metadata_of: MetadataOf, text: str) -> None:
    assert byte_of(text) is None
    with pytest.raises(CheckpointError, match="token 1 is of type byte and reads"):
        read(metadata_of(tokens=["a", text], token_type=[1, 6]))


def test_ids_outside_the_vocabulary_are_left_out_and_named(
    metadata_of: MetadataOf, caplog: pytest.LogCaptureFixture
) -> None:
    keys: dict[str, Any] = {
        "tokens": ["a", "b"],
        "eos_token_id": 2,
        "bos_token_id": -1,
        "padding_token_id": 2**31,
    }
    special = read(metadata_of(**keys, suppress_tokens=[-1, 1, 2])).special
    assert (special.eos, special.bos, special.padding) == (None, None, None)
    assert special.suppressed == {1}
    assert "eos_token_id is 2, outside the vocabulary of 2" in caplog.text


def test_turn_ends_marked_as_text_are_repaired(metadata_of: MetadataOf) -> None:
    vocabulary = read(metadata_of(tokens=["a", "<|im_end|>", "<|endoftext|>"], token_type=[1, 1, 1]))
    assert vocabulary.special.eog == {1, 2}
    assert vocabulary.special.eot == 1
    assert vocabulary.types[1] == TokenType.CONTROL


def test_an_end_that_merges_make_is_ordinary_text(metadata_of: MetadataOf) -> None:
    tokens = ["<", "/", "s", ">", "</", "s>", "</s>", "<|im_end|>"]
    vocabulary = read(metadata_of(tokens=tokens, merges=["< /", "s >", "</ s>"]))
    assert vocabulary.special.eog == {7}
    assert vocabulary.types[6] == TokenType.NORMAL


def test_harmony_goes_on_after_the_end_of_a_message(metadata_of: MetadataOf) -> None:
    tokens = ["a", "<|return|>", "<|call|>", "<|end|>", "<|channel|>", "<|message|>", "<|start|>"]
    vocabulary = read(metadata_of(tokens=tokens, token_type=[1, 3, 3, 3, 3, 3, 3]))
    assert vocabulary.special.eog == {1, 2}
    assert vocabulary.ids_of_type(TokenType.USER_DEFINED) == [3, 4, 5, 6]


def test_gemma_4_reads_the_closing_tag_of_html_as_text(metadata_of: MetadataOf) -> None:
    tokens = ["a", "</s>", "<|tool_response>", "<turn|>"]
    vocabulary = read(metadata_of(tokens=tokens, token_type=[1, 1, 4, 3]))
    assert vocabulary.special.eog == {2, 3}
    assert vocabulary.types[1] == TokenType.NORMAL


def test_infill_tokens_are_found_by_text(metadata_of: MetadataOf) -> None:
    tokens = ["a", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|repo_name|>"]
    special = read(metadata_of(tokens=tokens, token_type=[1, 3, 3, 3, 3, 3])).special
    assert (special.fim_prefix, special.fim_suffix, special.fim_middle) == (1, 2, 3)
    assert special.eog == {4, 5}


def test_of_two_tokens_with_one_text_the_last_counts(metadata_of: MetadataOf) -> None:
    assert read(metadata_of(tokens=["a", "b", "a"])).ids["a"] == 2


def test_tokens_that_are_not_utf8_are_never_made_from_text(metadata_of: MetadataOf) -> None:
    tokens = [b"a", b"b\xff"]
    assert read(metadata_of(tokens=tokens)).visible_ids() == {"a": 0}
