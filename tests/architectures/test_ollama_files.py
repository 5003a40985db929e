"""Files of Ollama's converter: other names for tensors and keys, or none where all published models agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.engine.loading import limits_for, load_model
from jackfield.engine.single import SingleSequence
from jackfield.errors import CheckpointError
from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.testing.architectures import assert_same_logits
from jackfield.testing.families import Dimensions, TinyTensor, family_named, linear, vector
from jackfield.testing.tiny import MetadataValue, make_checkpoint
from jackfield.testing.vocabularies import byte_level
from jackfield.text.contract import Tokenizer

F32 = npt.NDArray[np.float32]
PROMPT = [int(token) for token in np.random.default_rng(3).integers(0, 384, 60)]


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


def make(
    folder: Path,
    architecture: str,
    metadata: Mapping[str, MetadataValue] | None = None,
    renames: Mapping[str, str] | None = None,
    *,
    name: str | None = None,
    extra: tuple[TinyTensor, ...] = (),
    num_layers: int = 3,
) -> Path:
    """Write a tiny checkpoint of a family under other names; keys are given without the prefix."""
    family, name = family_named(architecture), name or architecture

    def tensors(dimensions: Dimensions) -> Iterator[TinyTensor]:
        for tensor in family.tensors(dimensions):
            renamed = tensor.name
            for usual, other in (renames or {}).items():
                renamed = renamed.replace(usual, other)
            yield dataclasses.replace(tensor, name=renamed)
        yield from extra

    keys = {f"{name}.{key}": value for key, value in (metadata or {}).items()}
    changed = dataclasses.replace(family, name=name, tensors=tensors)
    return make_checkpoint(folder / f"{name}.gguf", changed, metadata=keys, num_layers=num_layers)


def answer(host: Host, path: Path) -> F32:
    with load_model(path, host, "reference", lambda program: limits_for(program, 96)) as loaded:
        return SingleSequence(loaded.executable, loaded.limits).feed(PROMPT, range(len(PROMPT)))


def test_gptoss_is_gpt_oss_under_other_names(host: Host, tmp_path: Path) -> None:
    """They do not say that YaRN is used, nor how wide an expert is."""
    renames = {
        "attn_output": "attn_out",
        "post_attention_norm": "ffn_norm",
        "attn_sinks.weight": "attn_sinks",
    }
    absent: dict[str, MetadataValue] = {"rope.scaling.type": None, "expert_feed_forward_length": None}
    expected = answer(host, make(tmp_path, "gpt-oss"))
    assert_same_logits(answer(host, make(tmp_path, "gpt-oss", absent, renames, name="gptoss")), expected)


def test_the_first_layout_of_gptoss_is_refused(host: Host, tmp_path: Path) -> None:
    fused = linear("blk.0.ffn_gate_up_exps.weight", 192, 64, stack=4)
    path = make(tmp_path, "gpt-oss", name="gptoss", extra=(fused,))
    with pytest.raises(CheckpointError, match="has gate and up interleaved, an early layout of Ollama"):
        answer(host, path)


def test_gemma3_without_what_all_published_models_share(host: Host, tmp_path: Path) -> None:
    absent: dict[str, MetadataValue] = {
        "attention.layer_norm_rms_epsilon": None,
        "rope.freq_base": None,
        "rope.freq_base_swa": None,
        "rope.scaling.type": None,
        "rope.scaling.factor": None,
    }
    told: dict[str, MetadataValue] = {
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 1e6,
        "rope.freq_base_swa": 1e4,
        "rope.scaling.factor": 8.0,
    }
    long: dict[str, MetadataValue] = {"context_length": 131072}
    short: dict[str, MetadataValue] = {"context_length": 32768}
    layers = 6  # the last sees everything
    for context, factor in ((long, 8.0), (short, 1.0)):
        said = told | context | {"rope.scaling.factor": factor}
        expected = answer(host, make(tmp_path, "gemma3", said, num_layers=layers))
        found = answer(host, make(tmp_path, "gemma3", absent | context, num_layers=layers))
        assert_same_logits(found, expected)


def test_gemma3_of_the_first_converter_calls_its_bases_local_and_global(host: Host, tmp_path: Path) -> None:
    usual: dict[str, MetadataValue] = {"rope.freq_base": 5e5, "rope.freq_base_swa": 5e3}
    other: dict[str, MetadataValue] = {
        "rope.freq_base": None,
        "rope.freq_base_swa": None,
        "rope.global.freq_base": 5e5,
        "rope.local.freq_base": 5e3,
    }
    expected = answer(host, make(tmp_path, "gemma3", usual, num_layers=6))
    assert_same_logits(answer(host, make(tmp_path, "gemma3", other, num_layers=6)), expected)


def test_gemma4_scales_its_experts_under_another_name(host: Host, tmp_path: Path) -> None:
    expected = answer(host, make(tmp_path, "gemma4"))
    renames = {"ffn_down_exps.scale": "ffn_gate_inp.per_expert_scale"}
    assert_same_logits(answer(host, make(tmp_path, "gemma4", renames=renames)), expected)


def test_mistral3_spells_yarn_in_its_own_way(host: Host, tmp_path: Path) -> None:
    usual: dict[str, MetadataValue] = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 8.0,
        "rope.scaling.yarn_beta_fast": 4.0,
        "rope.scaling.yarn_beta_slow": 2.0,
        "rope.scaling.yarn_log_multiplier": 0.5,
        "attention.temperature_scale": 0.3,
    }
    names = {
        "rope.scaling.yarn_beta_fast": "rope.scaling.beta_fast",
        "rope.scaling.yarn_beta_slow": "rope.scaling.beta_slow",
        "rope.scaling.yarn_log_multiplier": "rope.scaling.mscale_all_dim",
        "attention.temperature_scale": "rope.scaling_beta",
    }
    other = {**dict.fromkeys(names), **{names.get(key, key): value for key, value in usual.items()}}
    expected = answer(host, make(tmp_path, "mistral3", usual))
    assert_same_logits(answer(host, make(tmp_path, "mistral3", other)), expected)


def test_mistral3_without_scaling_has_empty_keys(host: Host, tmp_path: Path) -> None:
    plain: dict[str, MetadataValue] = {
        "rope.scaling.type": "none",
        "rope.scaling.factor": None,
        "attention.temperature_scale": None,
    }
    empty: dict[str, MetadataValue] = plain | {
        "rope.scaling.type": "",
        "rope.scaling.factor": 0.0,
        "rope.scaling.yarn_beta_fast": 0.0,
        "rope.scaling.yarn_beta_slow": 0.0,
    }
    expected = answer(host, make(tmp_path, "mistral3", plain))
    assert_same_logits(answer(host, make(tmp_path, "mistral3", empty)), expected)


@pytest.mark.parametrize(
    ("architecture", "kv_heads"),
    [("qwen3next", [0, 2, 0, 2]), ("qwen35", [0, 2, 0, 2, 2]), ("qwen35moe", [0, 2, 0, 2])],
)
def test_delta_nets_have_zeros_for_layers_without_keys(
    host: Host, tmp_path: Path, architecture: str, kv_heads: list[int]
) -> None:
    """Key heads are an array, the bias of the time step has no suffix, other parts lie beside the text."""
    keys: dict[str, MetadataValue] = {"attention.head_count_kv": kv_heads}
    others = (vector("v.patch_embd.weight", 4, 4), vector("mm.0.weight", 4), vector("mtp.fc.weight", 4, 4))
    expected = answer(host, make(tmp_path, architecture, num_layers=4))
    path = make(tmp_path, architecture, keys, {"ssm_dt.bias": "ssm_dt"}, num_layers=4, extra=others)
    assert_same_logits(answer(host, path), expected)


def test_nemotron_names_the_narrow_row_otherwise(host: Host, tmp_path: Path) -> None:
    """Files with image and sound parts have an architecture name of their own."""
    renames = {"ffn_latent_down": "ffn_latent_in", "ffn_latent_up": "ffn_latent_out"}
    absent: dict[str, MetadataValue] = {"moe_latent_size": None}
    expected = answer(host, make(tmp_path, "nemotron_h_moe"))
    path = make(tmp_path, "nemotron_h_moe", absent, renames, name="nemotron_h_omni")
    assert_same_logits(answer(host, path), expected)


@pytest.mark.parametrize("architecture", ["qwen3moe", "qwen3next", "qwen35moe"])
def test_the_width_of_an_expert_is_that_of_its_tensor(host: Host, tmp_path: Path, architecture: str) -> None:
    expected = answer(host, make(tmp_path, architecture))
    path = make(tmp_path, architecture, {"expert_feed_forward_length": None})
    assert_same_logits(answer(host, path), expected)


@pytest.mark.parametrize(
    ("architecture", "said", "is_cut"),
    [
        ("gptoss", "default", True),
        ("gptoss", None, True),
        ("mistral3", "default", True),
        ("qwen3", "default", False),
        ("gptoss", "gpt-2", False),
    ],
)
def test_the_rule_called_default_is_the_familys(
    host: Host, tmp_path: Path, architecture: str, said: str | None, is_cut: bool
) -> None:
    """The rules of gpt-oss and tekken cut before a capital letter, the others do not."""
    words = byte_level(384)
    metadata: dict[str, MetadataValue] = {
        "tokenizer.ggml.pre": said,
        "tokenizer.ggml.tokens": [*words.tokens[:256], "aB", *words.tokens[257:]],
        "tokenizer.ggml.merges": ["a B"],
    }
    family = dataclasses.replace(family_named("llama"), name=architecture)
    path = make_checkpoint(tmp_path / "tiny.gguf", family, metadata=metadata)
    with open_checkpoint(path) as checkpoint:
        tokenizer: Tokenizer = host.tokenizer("gpt2").load()(checkpoint.metadata)
        assert len(tokenizer.encode("aB")) == (2 if is_cut else 1)


@pytest.mark.parametrize(("rule", "is_merged"), [("gemma4", False), (None, True)])
def test_gemma4_calls_its_tokenizer_llama(
    host: Host, tmp_path: Path, rule: str | None, is_merged: bool
) -> None:
    """Its pieces merge by the list of merges, where SentencePiece goes by the scores."""
    words = byte_level(384)
    metadata: dict[str, MetadataValue] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": rule,
        "tokenizer.ggml.tokens": [*words.tokens[:256], "aB", *words.tokens[257:]],
        "tokenizer.ggml.scores": [0.0] * 384,
        "tokenizer.ggml.merges": ["e r"],
    }
    path = make_checkpoint(tmp_path / "tiny.gguf", "gemma4", num_layers=3, metadata=metadata)
    with open_checkpoint(path) as checkpoint:
        tokenizer: Tokenizer = host.tokenizer("llama").load()(checkpoint.metadata)
        assert (256 in tokenizer.encode("aB")) is is_merged
