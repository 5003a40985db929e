"""Tiny checkpoints are what they say they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jackfield.engine.loading import build_program
from jackfield.gguf import BLOCK_FORMATS, dequantize, open_checkpoint
from jackfield.host import Host
from jackfield.program import RecurrentState
from jackfield.testing.blocks import random_blocks
from jackfield.testing.families import family_named
from jackfield.testing.tiny import make_checkpoint
from jackfield.testing.vocabularies import byte_level, sentence_pieces

FAMILIES = ["llama", "qwen2", "qwen3", "qwen3moe"]
FORMATS = sorted(BLOCK_FORMATS.keys() - {"I8", "I16", "I32", "I64", "F64"})
WRITABLE = sorted(set(FORMATS) - {"Q2_0"})  # the gguf package does not know Q2_0 yet


@pytest.mark.parametrize("architecture", FAMILIES)
@pytest.mark.parametrize("tensor_type", ["F32", "F16", "Q8_0", "Q4_K"])
def test_each_family_is_a_small_whole_checkpoint(tmp_path: Path, architecture: str, tensor_type: str) -> None:
    path = make_checkpoint(tmp_path / "tiny.gguf", architecture, tensor_type=tensor_type)
    with open_checkpoint(path) as checkpoint:
        metadata = checkpoint.metadata
        assert checkpoint.architecture == architecture
        assert checkpoint.size_bytes < 2_500_000
        embedding = checkpoint.tensors["token_embd.weight"]
        width = metadata.integer(metadata.of_architecture("embedding_length"))
        assert embedding.shape == (384, width)
        assert embedding.type_name == tensor_type
        assert len(metadata.texts("tokenizer.ggml.tokens")) == 384
        assert checkpoint.tensors["blk.1.attn_norm.weight"].type_name == "F32"
        assert "<|im_start|>" in metadata.text("tokenizer.chat_template")


@pytest.mark.parametrize("tensor_type", WRITABLE)
def test_every_format_gives_weights_of_the_same_spread(tmp_path: Path, tensor_type: str) -> None:
    path = make_checkpoint(tmp_path / "tiny.gguf", "llama", tensor_type=tensor_type, num_layers=1)
    with open_checkpoint(path) as checkpoint:
        weights = checkpoint.tensors["blk.0.ffn_up.weight"]
        values = weights.to_float32() * weights.shape[1] ** 0.5
        assert weights.type_name == tensor_type
        assert abs(values.mean()) < 0.05
        assert 0.8 < values.std() < 1.25


@pytest.mark.parametrize("type_name", sorted(set(FORMATS) - {"F32", "F16", "BF16"}))
@pytest.mark.parametrize("spread", [0.02, 1.0])
def test_random_blocks_are_finite_and_of_the_spread_asked_for(type_name: str, spread: float) -> None:
    blocks = random_blocks(type_name, 65_536, spread, np.random.default_rng(3))
    values = dequantize(type_name, blocks, 65_536)
    assert np.isfinite(values).all()
    assert abs(values.mean()) < 0.05 * spread
    assert 0.7 * spread < values.std() < 1.4 * spread


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    first = make_checkpoint(tmp_path / "a.gguf", tensor_type="Q6_K", seed=1).read_bytes()
    again = make_checkpoint(tmp_path / "b.gguf", tensor_type="Q6_K", seed=1).read_bytes()
    other = make_checkpoint(tmp_path / "c.gguf", tensor_type="Q6_K", seed=2).read_bytes()
    assert first == again
    assert first != other


def test_patterns_choose_other_formats(tmp_path: Path) -> None:
    path = make_checkpoint(
        tmp_path / "tiny.gguf", tensor_type="Q4_0", tensor_types={"output.*": "Q8_0", "blk.1.*": "F16"}
    )
    with open_checkpoint(path) as checkpoint:
        types = {name: tensor.type_name for name, tensor in checkpoint.tensors.items()}
    assert types["output.weight"] == "Q8_0"
    assert types["blk.1.attn_q.weight"] == "F16"
    assert types["blk.0.attn_q.weight"] == "Q4_0"
    assert types["output_norm.weight"] == "F32"


def test_metadata_can_be_added_replaced_and_left_out(tmp_path: Path) -> None:
    path = make_checkpoint(
        tmp_path / "tiny.gguf",
        chat_template=None,
        sizes={"num_kv_heads": 1},
        metadata={"general.name": "Other", "new": [1, 2], "tokenizer.ggml.add_bos_token": None},
    )
    with open_checkpoint(path) as checkpoint:
        metadata = checkpoint.metadata
        assert metadata.text("general.name") == "Other"
        assert metadata.integers("new") == [1, 2]
        assert "tokenizer.ggml.add_bos_token" not in metadata
        assert "tokenizer.chat_template" not in metadata
        assert metadata.integer("llama.attention.head_count_kv") == 1
        assert checkpoint.tensors["blk.0.attn_k.weight"].shape == (16, 64)


def test_a_family_of_ones_own_needs_no_file_here(tmp_path: Path) -> None:
    mine = dataclasses.replace(family_named("llama"), name="mine")
    with open_checkpoint(make_checkpoint(tmp_path / "tiny.gguf", mine)) as checkpoint:
        assert checkpoint.architecture == "mine"
        assert "mine.block_count" in checkpoint.metadata


def test_an_unknown_family_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        make_checkpoint(tmp_path / "tiny.gguf", "no-such")


@pytest.mark.parametrize(
    ("architecture", "sizes", "states"),
    [
        ("qwen3next", {"num_key_heads": 1, "num_value_heads": 3, "state_width": 24}, (3, 24, 24)),
        ("qwen35", {"num_key_heads": 2, "num_value_heads": 2, "state_width": 8}, (2, 8, 8)),
        (
            "nemotron_h",
            {"num_state_heads": 6, "inner_width": 48, "state_size": 20, "num_groups": 3},
            (6, 8, 20),
        ),
    ],
)
def test_sizes_that_only_some_families_have_reach_the_program(
    tmp_path: Path, architecture: str, sizes: dict[str, int], states: tuple[int, int, int]
) -> None:
    path = make_checkpoint(tmp_path / "tiny.gguf", architecture, sizes={"extra": sizes})
    with open_checkpoint(path) as checkpoint:
        program = build_program(checkpoint, Host())
        assert [state.shape for state in program.states if isinstance(state, RecurrentState)] == [states]


def test_a_gemma4_may_have_no_experts(tmp_path: Path) -> None:
    sizes = {"num_experts": 0, "extra": {"full_attention_interval": 2, "shared_kv_layers": 2, "window": 9}}
    path = make_checkpoint(tmp_path / "tiny.gguf", "gemma4", num_layers=4, sizes=sizes)
    with open_checkpoint(path) as checkpoint:
        program = build_program(checkpoint, Host())
    assert [cache.window for cache in program.kv_caches] == [9, None]
    assert not any("exps" in name for name in program.weight_names())


def test_a_large_tensor_is_filled_with_blocks_of_the_same_spread(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "large.gguf", "llama", tensor_type="Q4_0", vocab_size=66_000)
    with open_checkpoint(path) as checkpoint:
        table = checkpoint.tensors["token_embd.weight"]
        assert table.shape == (66_000, 64)
        assert table.to_float32()[:4096].std() == pytest.approx(1.0, rel=0.1)


# ---- vocabularies ----


def test_a_byte_level_vocabulary_spells_every_byte_and_every_merge() -> None:
    vocabulary = byte_level(384)
    tokens = vocabulary.tokens
    assert len(tokens) == len(set(tokens)) == len(vocabulary.types) == 384
    assert sum(len(token) == 1 for token in tokens) == 256
    assert len(vocabulary.merges) == 384 - 256 - 9
    for merge in vocabulary.merges:
        left, right = merge.split(" ")
        assert {left, right, left + right} <= set(tokens)
    controls = {token for token, kind in zip(tokens, vocabulary.types, strict=True) if kind == 3}
    assert controls == {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}


def test_a_large_vocabulary_is_padded_with_unused_tokens() -> None:
    vocabulary = byte_level(2000)
    assert (len(vocabulary.tokens), vocabulary.tokens[-2].startswith("[PAD"), vocabulary.types[-1]) == (
        2000,
        True,
        5,
    )
    assert len(set(vocabulary.tokens)) == 2000


def test_a_sentence_piece_vocabulary_builds_long_pieces_from_short_ones() -> None:
    vocabulary = sentence_pieces(384)
    assert len(vocabulary.tokens) == len(vocabulary.types) == len(vocabulary.scores) == 384
    assert vocabulary.tokens[3:259] == [f"<0x{byte:02X}>" for byte in range(256)]
    assert "▁the" in vocabulary.tokens
    score = dict(zip(vocabulary.tokens, vocabulary.scores, strict=True))
    assert score["▁the"] > score["▁"]  # a merge is worth more than staying apart


@pytest.mark.parametrize("make", [byte_level, sentence_pieces])
def test_a_vocabulary_too_small_for_its_bytes_is_an_error(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"vocab_size is 200; .* tokens at least"):
        make(200)
