from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jackfield.errors import CheckpointError, RequestError
from jackfield.text.contract import Tokenizer
from jackfield.text.special_matcher import SpecialMatcher

TokenizerOf = Callable[..., Tokenizer]
AS_IT_IS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def text_of(tokenizer: Tokenizer, ids: list[int]) -> str:
    return b"".join(tokenizer.piece(token_id) for token_id in ids).decode()


@AS_IT_IS
@given(text=st.text(max_size=40))
def test_byte_level_pieces_give_any_text_back(byte_tokenizer: Tokenizer, text: str) -> None:
    assert text_of(byte_tokenizer, byte_tokenizer.encode(text)) == text


@AS_IT_IS
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), min_size=1, max_size=40)
)
def test_sentence_pieces_give_any_text_back_after_one_space(piece_tokenizer: Tokenizer, text: str) -> None:
    assert piece_tokenizer.strips_leading_space()
    assert text_of(piece_tokenizer, piece_tokenizer.encode(text)) == " " + text


def test_control_tokens_are_matched_only_when_asked(byte_tokenizer: Tokenizer) -> None:
    end = byte_tokenizer.id_of("<|im_end|>")
    assert end in byte_tokenizer.encode("hi<|im_end|>", parse_special=True)
    assert end not in byte_tokenizer.encode("hi<|im_end|>")


def test_user_defined_tokens_are_always_matched(byte_tokenizer: Tokenizer) -> None:
    assert byte_tokenizer.encode("<think>") == [byte_tokenizer.id_of("<think>")]


def test_nothing_special_is_matched_inside_a_protected_span(byte_tokenizer: Tokenizer) -> None:
    end, think = byte_tokenizer.id_of("<|im_end|>"), byte_tokenizer.id_of("<think>")
    text = "<|im_end|><think><|im_end|>"
    ids = byte_tokenizer.encode_prompt(text, [(10, 11)])
    assert ids.count(end) == 2
    assert think not in ids
    assert text_of(byte_tokenizer, ids) == text


def test_text_around_a_protected_span_merges_across_it(byte_tokenizer: Tokenizer) -> None:
    text = "the river<|im_end|>the"
    assert byte_tokenizer.encode_prompt(text, [(9, 10)]) == byte_tokenizer.encode(text)


def test_a_prompt_gets_bos_unless_it_has_one(piece_tokenizer: Tokenizer) -> None:
    bos = piece_tokenizer.special.bos
    assert piece_tokenizer.encode_prompt("the river", [])[0] == bos
    assert piece_tokenizer.encode_prompt("<s>the river", []).count(bos) == 1
    assert piece_tokenizer.encode("", add_special=True) == [bos]


def test_a_second_bos_is_added_on_request_with_a_warning(
    piece_tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    ids = piece_tokenizer.encode("<s>a", add_special=True, parse_special=True)
    assert ids.count(piece_tokenizer.special.bos) == 2
    assert "begins with the BOS token" in caplog.text


def test_each_run_after_a_special_token_gets_the_space_prefix(piece_tokenizer: Tokenizer) -> None:
    ids = piece_tokenizer.encode("the<s>the", parse_special=True)
    half = len(ids) // 2
    assert ids[:half] == ids[half + 1 :]


def test_phi_3_swallows_white_space_after_a_control_token(
    tokenizer_of: TokenizerOf, piece_keys: dict[str, Any]
) -> None:
    plain = tokenizer_of(**piece_keys)
    phi = tokenizer_of(**piece_keys, **{"general.name": "Phi3 mini"})
    assert phi.encode("<|im_end|>\n the", parse_special=True) == plain.encode(
        "<|im_end|>the", parse_special=True
    )


def test_a_text_with_halves_of_characters_is_read(byte_tokenizer: Tokenizer) -> None:
    assert text_of(byte_tokenizer, byte_tokenizer.encode("a\ud800b")) == "a\ufffdb"


def test_ids_outside_the_vocabulary_have_no_piece(byte_tokenizer: Tokenizer) -> None:
    for token_id in (-1, byte_tokenizer.vocab_size):
        with pytest.raises(RequestError, match=f"token id {token_id} is outside the vocabulary"):
            byte_tokenizer.piece(token_id)


def test_several_threads_encode_at_once(byte_tokenizer: Tokenizer) -> None:
    expected = byte_tokenizer.encode("the river turns the wheel " * 50)
    found: list[list[int]] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(byte_tokenizer.encode("the river turns the wheel " * 50))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_merges_of_texts_that_are_no_tokens_are_damage(
    tokenizer_of: TokenizerOf, byte_keys: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError, match=r"merges needs '(zzz|xyx|zzzxyx)', which is no token"):
        tokenizer_of(**{**byte_keys, "merges": [*byte_keys["merges"], "zzz xyx"]})
    with pytest.raises(CheckpointError, match=r"merges\[0\] is 'ab', expected two tokens and a space"):
        tokenizer_of(**{**byte_keys, "merges": ["ab", *byte_keys["merges"]]})


def test_no_merge_makes_a_control_token(tokenizer_of: TokenizerOf, byte_keys: dict[str, Any]) -> None:
    tokens = [*byte_keys["tokens"], "<X", "<X>"]
    types = [*byte_keys["token_type"], 1, 3]
    merges = [*byte_keys["merges"], "< X", "<X >"]
    tokenizer = tokenizer_of(**{**byte_keys, "tokens": tokens, "token_type": types, "merges": merges})
    assert tokenizer.encode("<X>") == [tokenizer.id_of("<X"), tokenizer.id_of(">")]
    assert tokenizer.encode("<X>", parse_special=True) == [tokenizer.id_of("<X>")]


def test_a_byte_without_a_token_is_damage_unless_there_is_an_unknown(
    tokenizer_of: TokenizerOf, byte_keys: dict[str, Any]
) -> None:
    tokens = ["lost" if token == "q" else token for token in byte_keys["tokens"]]
    with pytest.raises(CheckpointError, match="no token for 1 bytes, the first 0x71, and no unknown token"):
        tokenizer_of(**{**byte_keys, "tokens": tokens})
    unknown = tokens.index("lost")
    tokenizer = tokenizer_of(**{**byte_keys, "tokens": tokens, "unknown_token_id": unknown})
    assert tokenizer.encode("q") == [unknown]


def test_the_longest_special_token_wins_at_each_place() -> None:
    matcher = SpecialMatcher({"<a": 1, "<a>": 2, "<": 3, "b": 4})
    assert list(matcher.find("<a><a<<b")) == [(0, 3, 2), (3, 5, 1), (5, 6, 3), (6, 7, 3), (7, 8, 4)]


def test_an_empty_set_of_special_tokens_matches_nothing() -> None:
    assert list(SpecialMatcher({}).find("anything")) == []


def test_a_protected_span_leaves_the_shorter_match_that_avoids_it() -> None:
    matcher = SpecialMatcher({"<a": 1, "<a>": 2})
    assert list(matcher.find("<a>", [(2, 3)])) == [(0, 2, 1)]
    assert list(matcher.find("<a><a>", [(0, 1)])) == [(3, 6, 2)]
