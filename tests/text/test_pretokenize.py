from __future__ import annotations

import pytest
from tokenizers import Regex, pre_tokenizers

from jackfield.errors import CheckpointError
from jackfield.text.pretokenize import PRE_RULES, pre_rule

MIXED = "I'll say HelloWORLD 12345!\n\n  x = a_b/c  "
MARKS = "é\u0301a कि ÀB 漢字かな3"

WORDS = ["I", "'ll", " say", " HelloWORLD", " "]
CODE_AFTER = [" ", " x", " =", " a", "_b", "/c", "  "]
OPERATORS_APART = [" x", " ", "=", " a", "_", "b", "/", "c", "  "]
SPACED = [" x", " =", " a", "_", "b", "/", "c", "  "]
R1_MIXED = [*WORDS, "123", "45", "!\n\n", *CODE_AFTER]
R2_MIXED = [*WORDS, "1", "2", "3", "4", "5", "!\n\n", *CODE_AFTER]
R6_MIXED = ["I", "'ll", " say", " HelloWORLD", " 12345", "!", "\n\n ", *SPACED]
R8_MIXED = ["I", "'", "ll", " say", " HelloWORLD", " ", "123", "45", "!", "\n\n ", *OPERATORS_APART]
R11_MIXED = ["I", "'", "ll", " say", " HelloWORLD", " ", "12345", "!", "\n", "\n", " ", *SPACED]
R1_MARKS = ["é", "\u0301a", " क", "ि", " ÀB", " 漢字かな", "3"]
R3_MARKS = ["é\u0301a", " कि", " ÀB", " 漢字かな", "3"]
R6_MARKS = ["é", "\u0301", "a", " क", "ि", " ÀB", " 漢字かな", "3"]

CUTS = {
    "llama-bpe": (R1_MIXED, R1_MARKS),
    "qwen2": (R2_MIXED, R1_MARKS),
    "qwen35": (R2_MIXED, R3_MARKS),
    "gpt-4o": (
        ["I'll", " say", " Hello", "WORLD", " ", "123", "45", "!\n\n", *CODE_AFTER],
        R3_MARKS,
    ),
    "tekken": (
        ["I", "'ll", " say", " Hello", "WORLD", " ", *"12345", "!\n\n", *CODE_AFTER],
        R3_MARKS,
    ),
    "gpt-2": (R6_MIXED, R6_MARKS),
    "starcoder": (
        ["I", "'ll", " say", " HelloWORLD", " ", *"12345", "!", "\n\n ", *SPACED],
        R6_MARKS,
    ),
    "falcon": (R8_MIXED, R6_MARKS),
    "default": (R8_MIXED, R6_MARKS),
    "deepseek-v3": (R1_MIXED, ["é\u0301a", " कि", " ÀB", " ", "漢字かな", "3"]),
    "deepseek-llm": (
        R11_MIXED,
        ["é", "\u0301", "a", " ", "कि", " À", "B", " ", "漢字かな", "3"],
    ),
}


def cut(name: str, text: str) -> list[str]:
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PRE_RULES[name].patterns]
    return [piece for piece, _ in pre_tokenizers.Sequence(steps).pre_tokenize_str(text)]


@pytest.mark.parametrize("name", CUTS)
def test_a_rule_cuts_words_numbers_and_code_as_published(name: str) -> None:
    assert cut(name, MIXED) == CUTS[name][0]


@pytest.mark.parametrize("name", [name for name in CUTS if name != "deepseek-llm"])
def test_a_rule_cuts_combining_marks_and_other_scripts_as_published(name: str) -> None:
    assert cut(name, MARKS) == CUTS[name][1]


@pytest.mark.parametrize("name", sorted(PRE_RULES))
def test_every_rule_compiles_and_loses_no_character(name: str) -> None:
    assert "".join(cut(name, MIXED + MARKS)) == MIXED + MARKS


def test_an_unknown_rule_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(CheckpointError, match=r"pre is 'qwen22', expected one of .* Did you mean 'qwen2'\?"):
        pre_rule("qwen22")


def test_a_missing_rule_falls_back_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert pre_rule("") is PRE_RULES["default"]
    assert "names no pre-tokenisation rule" in caplog.text
