from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from jackfield.errors import CheckpointError
from jackfield.gguf import open_checkpoint
from jackfield.program import (
    has_experts,
    read_expert_counts,
    read_hyperparameters,
    read_rope_factors,
    read_rope_scaling,
    read_rope_width,
)
from jackfield.testing.families import TinyTensor, family_named
from jackfield.testing.tiny import MetadataValue, make_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.gguf"


def make(path: Path, metadata: Mapping[str, MetadataValue] | None = None) -> Path:
    keys = {f"llama.{name}": value for name, value in (metadata or {}).items()}
    return make_checkpoint(path, "llama", metadata=keys)


def test_fields_are_the_keys(path: Path) -> None:
    with open_checkpoint(make(path)) as checkpoint:
        sizes = read_hyperparameters(checkpoint)
    assert (sizes.architecture, sizes.vocab_size, sizes.context_length) == ("llama", 384, 1024)
    assert (sizes.embedding_length, sizes.block_count) == (64, 2)
    assert (sizes.head_count, sizes.head_count_kv) == ((4, 4), (2, 2))
    assert (sizes.key_length, sizes.value_length) == (16, 16)
    assert sizes.feed_forward_length == (96, 96)
    assert sizes.layer_norm_rms_epsilon == pytest.approx(1e-5)


def test_absent_keys_follow_from_others(path: Path) -> None:
    absent = dict.fromkeys(
        ("attention.key_length", "attention.value_length", "attention.head_count_kv", "vocab_size")
    )
    with open_checkpoint(make(path, absent)) as checkpoint:
        sizes = read_hyperparameters(checkpoint)
    assert (sizes.key_length, sizes.value_length, sizes.head_count_kv) == (16, 16, (4, 4))
    assert sizes.vocab_size == 384


def test_layers_may_differ_and_draft_layers_do_not_count(path: Path) -> None:
    differing = {
        "attention.head_count": [4, 8],
        "attention.head_count_kv": [2, 0],
        "feed_forward_length": [96, 32],
        "nextn_predict_layers": 1,
    }
    with open_checkpoint(make(path, differing)) as checkpoint:
        sizes = read_hyperparameters(checkpoint)
    assert (sizes.block_count, sizes.head_count, sizes.feed_forward_length) == (1, (4,), (96,))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("context_length", None, "required key 'llama.context_length' is missing"),
        ("context_length", 0, "'llama.context_length' is 0; expected at least 1"),
        ("embedding_length", 0, "'llama.embedding_length' is 0; expected at least 1"),
        ("embedding_length", 96, r"'token_embd.weight' is of shape \(384, 64\), expected \(vocabulary, 96\)"),
        ("embedding_length", "wide", "'llama.embedding_length' is of type STRING"),
        ("block_count", 0, "'llama.block_count' is 0; expected at least 1"),
        ("block_count", 10**9, "expected at most 1024"),
        ("nextn_predict_layers", 2, "'llama.nextn_predict_layers' is 2; expected at most 1"),
        ("attention.head_count", None, "'llama.attention.head_count' is absent or 0"),
        ("attention.head_count", 0, "'llama.attention.head_count' is absent or 0"),
        ("attention.head_count", [4], "has 1 elements; expected one for each of 2 layers"),
        ("attention.head_count_kv", 3, "is 3 in layer 0; expected a divisor of the 4 heads"),
        ("attention.head_count_kv", [2, 3], "is 3 in layer 1; expected a divisor of the 4 heads"),
        ("attention.key_length", 0, "'llama.attention.key_length' is 0; expected at least 1"),
        ("attention.layer_norm_rms_epsilon", 0.0, "rms_epsilon' is 0.0; expected at least"),
        ("attention.layer_norm_rms_epsilon", float("nan"), "expected a finite number"),
        ("attention.layer_norm_rms_epsilon", None, "required key .*rms_epsilon' is missing"),
        ("vocab_size", 385, "'llama.vocab_size' is 385, but 'token_embd.weight' has 384 rows"),
    ],
)
def test_a_wrong_number_is_named_by_its_key(path: Path, key: str, value: MetadataValue, message: str) -> None:
    with (
        open_checkpoint(make(path, {key: value})) as checkpoint,
        pytest.raises(CheckpointError, match=message),
    ):
        read_hyperparameters(checkpoint)


def test_heads_that_do_not_divide_the_width_need_a_key_length(path: Path) -> None:
    keys = {"attention.head_count": 5, "attention.head_count_kv": 5, "attention.key_length": None}
    with (
        open_checkpoint(make(path, keys)) as checkpoint,
        pytest.raises(CheckpointError, match="head_count' is 5; expected a divisor of 64"),
    ):
        read_hyperparameters(checkpoint)


# ---- experts ----


def test_experts_are_counted(path: Path) -> None:
    with open_checkpoint(make_checkpoint(path, "qwen3moe")) as checkpoint:
        assert has_experts(checkpoint)
        assert read_expert_counts(checkpoint) == (4, 2)
    with open_checkpoint(make(path)) as checkpoint:
        assert not has_experts(checkpoint)


@pytest.mark.parametrize(
    ("used", "message"),
    [(0, "is 0; expected at least 1"), (5, "is 5; expected at most 4"), (None, "is missing")],
)
def test_a_token_uses_some_of_the_experts(path: Path, used: int | None, message: str) -> None:
    make_checkpoint(path, "qwen3moe", metadata={"qwen3moe.expert_used_count": used})
    with (
        open_checkpoint(path) as checkpoint,
        pytest.raises(CheckpointError, match=f"qwen3moe.expert_used_count' {message}"),
    ):
        read_expert_counts(checkpoint)


# ---- positions ----


def test_positions_are_plain_by_default(path: Path) -> None:
    with open_checkpoint(make(path, {"rope.freq_base": None})) as checkpoint:
        scaling = read_rope_scaling(checkpoint)
    assert (scaling.freq_base, scaling.scale, scaling.attn_factor, scaling.yarn) == (10000.0, 1.0, 1.0, None)


@pytest.mark.parametrize(
    ("keys", "scale"),
    [
        ({"rope.scaling.factor": 4.0}, 0.25),
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}, 0.125),
        ({"rope.scale_linear": 2.0}, 0.5),
        ({"rope.scaling.factor": 0.0}, 1.0),
        ({"rope.scaling.type": "none", "rope.scaling.factor": 8.0}, 1.0),
    ],
)
def test_linear_scaling(path: Path, keys: dict[str, MetadataValue], scale: float) -> None:
    with open_checkpoint(make(path, keys)) as checkpoint:
        assert read_rope_scaling(checkpoint).scale == scale


def test_yarn_scaling(path: Path) -> None:
    keys: dict[str, MetadataValue] = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
    with open_checkpoint(make(path, keys)) as checkpoint:
        yarn = read_rope_scaling(checkpoint).yarn
    assert yarn is not None
    assert (yarn.factor, yarn.original_context_length, yarn.beta_fast) == (4.0, 1024, 32.0)
    keys["rope.scaling.original_context_length"] = 256
    with open_checkpoint(make(path, keys)) as checkpoint:
        yarn = read_rope_scaling(checkpoint).yarn
    assert yarn is not None
    assert yarn.original_context_length == 256


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rope.scaling.type", "stretch", "is 'stretch'; expected 'none', 'linear', 'yarn' or 'longrope'"),
        ("rope.freq_base", 0.0, "expected at least"),
        ("rope.freq_base", 1.0, "expected at least"),
        ("rope.scaling.factor", -1.0, "expected at least 0"),
        ("rope.scaling.attn_factor", 0.0, "expected at least"),
    ],
)
def test_positions_that_make_no_sense_are_refused(
    path: Path, key: str, value: MetadataValue, message: str
) -> None:
    with (
        open_checkpoint(make(path, {key: value})) as checkpoint,
        pytest.raises(CheckpointError, match=f"'llama.{key}' .*{message}"),
    ):
        read_rope_scaling(checkpoint)


@pytest.mark.parametrize(
    ("width", "message"),
    [(0, "expected at least 2"), (18, "expected at most 16"), (7, "expected an even number")],
)
def test_the_rotated_width_is_even_and_within_the_head(path: Path, width: int, message: str) -> None:
    with (
        open_checkpoint(make(path, {"rope.dimension_count": width})) as checkpoint,
        pytest.raises(CheckpointError, match=f"'llama.rope.dimension_count' .*{message}"),
    ):
        read_rope_width(checkpoint, 16)


@pytest.mark.parametrize(
    ("width", "centre", "message"),
    [(4, 1.0, r"has shape \(4,\); expected \(8,\)"), (8, -1.0, "not positive and finite")],
)
def test_rope_factors_are_checked(path: Path, width: int, centre: float, message: str) -> None:
    llama = family_named("llama")
    factors = TinyTensor("rope_freqs.weight", (width,), 0.1, centre)
    family = dataclasses.replace(llama, tensors=lambda d: [*llama.tensors(d), factors])
    with open_checkpoint(make_checkpoint(path, family)) as checkpoint:
        assert read_rope_factors(checkpoint, "absent", 16) is None
        with pytest.raises(CheckpointError, match=message):
            read_rope_factors(checkpoint, "rope_freqs.weight", 16)
