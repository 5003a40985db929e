"""How byte-level BPE vocabularies cut a text before merging: one row per ``tokenizer.ggml.pre``.

A rule is a list of expressions in Oniguruma's (and the ``regex`` package's) syntax. Each isolates its
matches inside the pieces left by the one before; text that nothing matches stays a piece of its own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from jackfield.errors import CheckpointError, did_you_mean

__all__ = ["PRE_RULES", "PreRule", "pre_rule"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreRule:
    """One way to cut.

    Attributes:
        ignore_merges: A piece that is a token as a whole is taken without looking at the merges.
        add_bos: Whether BOS is added where the file does not say.
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False


_ENDING = r"'s|'t|'re|'ve|'m|'ll|'d"
_CONTRACTION = rf"(?i:{_ENDING})"
_TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_HEAD_LETTERS = r"[^\r\n\p{L}\p{N}]?"
_UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_WORDS = f"{_HEAD_LETTERS}[{_UPPER}]*[{_LOWER}]+"
_CAPITALS = f"{_HEAD_LETTERS}[{_UPPER}]+[{_LOWER}]*"
_HAN = "\u4e00-\u9fa5"
_CJK = f"[{_HAN}\u0800-\u4e00\uac00-\ud7ff]+"

R1 = (rf"{_CONTRACTION}|{_HEAD_LETTERS}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_TAIL}",)
R2 = (rf"{_CONTRACTION}|{_HEAD_LETTERS}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_TAIL}",)
R3 = (
    rf"{_CONTRACTION}|{_HEAD_LETTERS}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_TAIL}",
)
R4 = (
    rf"{_WORDS}{_CONTRACTION}?|{_CAPITALS}{_CONTRACTION}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_TAIL}",
)
R5 = (rf"{_WORDS}|{_CAPITALS}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_TAIL}",)
_GPT2 = rf"{_ENDING}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+"
R6 = (_GPT2,)
R7 = (r"\p{N}", _GPT2)
R8 = (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]")
R9 = (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")
R10 = (
    r"\p{N}{1,3}",
    f"[{_HAN}\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    rf"|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_TAIL}",
)
# letters of the scripts with case, as the DeepSeek LLM vocabularies were trained with; written in escapes
# because editors normalise some of these characters into others
_CASED_LETTERS = (
    "A-Za-z\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
    "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb"
    "\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4"
    "\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
    "\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
R11 = (
    r"[\r\n]",
    rf"\s?[{_CASED_LETTERS}]+",
    r"\s?[!-/:-~" + "\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    r"\s+$",
    _CJK,
    r"\p{N}+",
)
R12 = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, r"\p{N}")
R13 = (r"[^\n]+|[\n]+",)

_TABLE: tuple[tuple[PreRule, str], ...] = (
    (
        PreRule(R1, ignore_merges=True, add_bos=True),
        "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
    ),
    (PreRule(R1), "smaug-bpe dbrx"),
    (
        PreRule(R2),
        "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
    ),
    (PreRule(R3), "qwen35"),
    (PreRule(R4), "gpt-4o llama4 kanana2 talkie minimax-m2"),
    (PreRule(R5, ignore_merges=True, add_bos=True), "tekken"),
    (
        PreRule(R6),
        "gpt-2 phi-2 mpt olmo exaone4 trillion jina-es jina-de jina-v2-en jina-v2-es jina-v2-de jina-v2-code"
        " jina-v2-zh roberta-bpe modern-bert mellum gigachat a.x-4.0",
    ),
    (PreRule(R7), "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2"),
    (PreRule(R8), "falcon"),
    (PreRule(R9), "default"),
    (PreRule(R10), "deepseek-v3 hunyuan-dense joyai-llm hy_v4"),
    (PreRule(R11), "deepseek-llm"),
    (PreRule(R12), "deepseek-coder"),
    (PreRule(R13), "gemma4 sarvam-moe"),
)

PRE_RULES: dict[str, PreRule] = {name: rule for rule, names in _TABLE for name in names.split()}


def pre_rule(name: str) -> PreRule:
    """Return the rule of a ``tokenizer.ggml.pre`` value; an empty one means ``default``.

    Raises:
        CheckpointError: The rule is not known; guessing would give the model ids it never saw.
    """
    if not name:
        log.warning("the checkpoint names no pre-tokenisation rule: using 'default', ids may be wrong")
        name = "default"
    if name not in PRE_RULES:
        raise CheckpointError(
            f"tokenizer.ggml.pre is {name!r}, expected one of {len(PRE_RULES)} known rules such as 'qwen2'"
            f" or 'llama-bpe'; update Jackfield or convert the file anew.{did_you_mean(name, PRE_RULES)}"
        )
    return PRE_RULES[name]
