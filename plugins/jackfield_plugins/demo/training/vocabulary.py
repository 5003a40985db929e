"""The tokenizer: byte-level BPE trained on the generators' own text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from jackfield.text.pretokenize import pre_rule
from jackfield_plugins.demo.training.mixture import training_samples
from jackfield_plugins.demo.training.rendering import END_OF_TEXT, rendered
from jackfield_plugins.demo.training.skills.writing import plain_text

__all__ = ["CONTROL_TOKENS", "PRE_RULE", "TAG_TOKENS", "load_tokenizer", "train_tokenizer"]

PRE_RULE = "qwen2"
"""``tokenizer.ggml.pre``: every digit is a token, which arithmetic is easier with."""

CONTROL_TOKENS = (END_OF_TEXT, "<|im_start|>", "<|im_end|>")
TAG_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")


def train_tokenizer(vocab_size: int, num_conversations: int, seed: int) -> Tokenizer:
    """Return a tokenizer with that many tokens, the special ones first."""
    tokenizer = Tokenizer(models.BPE())
    patterns = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre_rule(PRE_RULE).patterns]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*patterns, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(text, special=True) for text in (*CONTROL_TOKENS, *TAG_TOKENS)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(num_conversations, seed), trainer)
    return tokenizer


def _texts(count: int, seed: int) -> Iterator[str]:
    rng = Random(f"tokenizer {seed}")
    for index, sample in zip(range(count), training_samples(seed), strict=False):
        yield "".join(part.text for part in rendered(sample, think=index % 2 == 0, is_spliced=True, rng=rng))
        if index % 20 == 0:
            yield plain_text(rng)


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer that ``train_tokenizer`` made."""
    return Tokenizer.from_file(str(path))
