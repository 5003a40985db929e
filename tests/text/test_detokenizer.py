from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jackfield.text import StopStrings, StreamDetokenizer
from jackfield.text.contract import Tokenizer

MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def streamed(tokenizer: Tokenizer, ids: list[int], preserved: frozenset[int] = frozenset()) -> list[str]:
    detokenizer = StreamDetokenizer(tokenizer, preserved)
    return [*(detokenizer.feed(token_id) for token_id in ids), detokenizer.finish()]


@MANY
@given(text=st.text(max_size=30))
def test_a_text_streamed_by_token_comes_back_whole(byte_tokenizer: Tokenizer, text: str) -> None:
    pieces = streamed(byte_tokenizer, byte_tokenizer.encode(text))
    assert "".join(pieces) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


def test_bytes_that_are_no_character_become_the_replacement_at_once(byte_tokenizer: Tokenizer) -> None:
    lone, letter = byte_tokenizer.encode("é")[-1], byte_tokenizer.encode("a")[0]
    assert streamed(byte_tokenizer, [lone, letter]) == ["\ufffd", "a", ""]
    assert streamed(byte_tokenizer, byte_tokenizer.encode("é")[:1]) == ["", "\ufffd"]


def test_control_tokens_show_only_when_preserved(byte_tokenizer: Tokenizer) -> None:
    end = byte_tokenizer.id_of("<|im_end|>")
    assert end is not None
    assert streamed(byte_tokenizer, [end]) == ["", ""]
    assert streamed(byte_tokenizer, [end], frozenset([end])) == ["<|im_end|>", ""]


def test_sentence_pieces_lose_one_space_at_the_start_of_a_fresh_text(piece_tokenizer: Tokenizer) -> None:
    ids = piece_tokenizer.encode("the river")
    assert "".join(streamed(piece_tokenizer, ids)) == "the river"
    going_on = StreamDetokenizer(piece_tokenizer, is_fresh=False)
    assert "".join(going_on.feed(token_id) for token_id in ids) == " the river"


def cut_by(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    stopper = StopStrings(stops)
    shown = ""
    for piece in pieces:
        out, hit = stopper.feed(piece)
        shown += out
        if hit is not None:
            return shown, hit
    return shown + stopper.finish(), None


@settings(deadline=None)
@given(
    text=st.text("abc", max_size=14),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=4),
    cuts=st.lists(st.integers(0, 14), max_size=5),
)
def test_stop_strings_cut_at_one_place_however_the_text_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    places = [0, *sorted(cuts), len(text)]
    pieces = [text[start:stop] for start, stop in pairwise(places)]
    shown, hit = cut_by(stops, pieces)
    assert (shown, hit) == cut_by(stops, list(text))
    assert text.startswith(shown + (hit or ""))
    assert all(stop not in shown for stop in stops)
    assert hit is not None or shown == text


def test_the_stop_string_complete_first_wins_and_of_two_the_longer() -> None:
    assert cut_by(["abcd", "bc"], ["xabcd"]) == ("xa", "bc")
    assert cut_by(["bc", "abc"], ["xabc"]) == ("x", "abc")


def test_nothing_is_held_back_that_cannot_become_a_stop_string() -> None:
    stopper = StopStrings(["###", "User:"])
    assert stopper.feed("One # two ##") == ("One # two ", None)
    assert stopper.feed(" three Use") == ("## three ", None)
    assert stopper.finish() == "Use"
