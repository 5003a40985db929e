"""What only one family does, on small checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.engine.loading import LoadedModel, build_program, limits_for, load_model
from jackfield.engine.single import SingleSequence
from jackfield.errors import CheckpointError
from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.program import Attend, Program, ops
from jackfield.testing.architectures import assert_same_logits
from jackfield.testing.families import Dimensions, TinyTensor, family_named, linear, vector
from jackfield.testing.tiny import MetadataValue, make_checkpoint
from jackfield_plugins.architectures.mistral3 import PositionScale

F32 = npt.NDArray[np.float32]
PROMPT = [int(token) for token in np.random.default_rng(3).integers(0, 384, 60)]
TensorEdit = Callable[[TinyTensor], TinyTensor | None]


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


def make(
    path: Path,
    name: str,
    metadata: Mapping[str, MetadataValue] | None = None,
    edit: TensorEdit = lambda tensor: tensor,
    extra: Callable[[Dimensions], list[TinyTensor]] = lambda dimensions: [],
    num_layers: int = 2,
) -> Path:
    family = family_named(name)

    def tensors(dimensions: Dimensions) -> Iterator[TinyTensor]:
        yield from filter(None, map(edit, family.tensors(dimensions)))
        yield from extra(dimensions)

    keys = {f"{name}.{key}": value for key, value in (metadata or {}).items()}
    changed = dataclasses.replace(family, tensors=tensors)
    return make_checkpoint(path / "tiny.gguf", changed, metadata=keys, num_layers=num_layers)


def build(host: Host, path: Path) -> Program:
    with open_checkpoint(path) as checkpoint:
        return build_program(checkpoint, host)


def answer(host: Host, path: Path, context: int = 96) -> F32:
    with load_model(path, host, "reference", lambda program: limits_for(program, context)) as loaded:
        return feed(loaded)


def feed(loaded: LoadedModel) -> F32:
    return SingleSequence(loaded.executable, loaded.limits).feed(PROMPT, range(len(PROMPT)))


# ---- llama ----


def test_llama_rotates_whole_heads(host: Host, tmp_path: Path) -> None:
    path = make(tmp_path, "llama", {"rope.dimension_count": 8})
    with pytest.raises(CheckpointError, match="llama: 8 of 16 columns of a head rotate; expected all"):
        build(host, path)


def test_llama_frequencies_are_divided(host: Host, tmp_path: Path) -> None:
    def freqs(dimensions: Dimensions) -> list[TinyTensor]:
        return [vector("rope_freqs.weight", 8, spread=0.0, centre=4.0)]

    stretched = answer(host, make(tmp_path, "llama", extra=freqs))
    by_factor = answer(host, make(tmp_path, "llama", {"rope.scaling.factor": 4.0}))
    assert_same_logits(stretched, by_factor)
    plain = answer(host, make(tmp_path, "llama"))
    assert np.abs(plain - stretched).max() > 0.01


def test_llama_with_experts_is_a_mixtral(host: Host, tmp_path: Path) -> None:
    def experts(dimensions: Dimensions) -> list[TinyTensor]:
        d, tensors = dimensions, []
        for layer in range(d.num_layers):
            tensors += [
                vector(f"blk.{layer}.ffn_gate_inp.weight", 4, d.width),
                linear(f"blk.{layer}.ffn_gate_exps.weight", d.ff_width, d.width, stack=4),
                linear(f"blk.{layer}.ffn_up_exps.weight", d.ff_width, d.width, stack=4),
                linear(f"blk.{layer}.ffn_down_exps.weight", d.width, d.ff_width, stack=4),
            ]
        return tensors

    keys: dict[str, MetadataValue] = {"expert_count": 4, "expert_used_count": 2}
    program = build(host, make(tmp_path, "llama", keys, extra=experts))
    assert sum(isinstance(op, ops.ExpertFeedForward) for op in program.ops) == 2
    assert np.isfinite(answer(host, tmp_path / "tiny.gguf")).all()


def test_one_tensor_for_each_expert_is_refused_clearly(host: Host, tmp_path: Path) -> None:
    keys: dict[str, MetadataValue] = {"expert_count": 4, "expert_used_count": 2}

    def early(dimensions: Dimensions) -> list[TinyTensor]:
        router = vector("blk.0.ffn_gate_inp.weight", 4, dimensions.width)
        return [router, linear("blk.0.ffn_up.0.weight", dimensions.ff_width, dimensions.width)]

    with pytest.raises(CheckpointError, match=r"blk\.0\.ffn_up\.0\.weight is one tensor for each expert"):
        build(host, make(tmp_path, "llama", keys, extra=early))


@pytest.mark.parametrize("architecture", ["qwen3moe", "nemotron_h_moe"])
def test_scales_that_no_op_uses_are_refused(host: Host, tmp_path: Path, architecture: str) -> None:
    scales = [vector(f"blk.{layer}.ffn_up_exps.scale", 4) for layer in range(2)]
    path = make(tmp_path, architecture, extra=lambda dimensions: scales)
    with pytest.raises(CheckpointError, match=r"tensor 'blk\.\d\.ffn_up_exps\.scale' scales each expert"):
        build(host, path)


def test_biases_and_scales_are_used_where_the_file_has_them(host: Host, tmp_path: Path) -> None:
    plain = answer(host, make(tmp_path, "llama"))
    for name in ("attn_q.bias", "attn_output.bias", "ffn_down.bias", "ffn_up.scale"):
        width = {"ffn_up.scale": 1}.get(name, 64)
        changed = make(
            tmp_path, "llama", extra=lambda d, n=name, w=width: [vector(f"blk.0.{n}", w, spread=1.0)]
        )  # type: ignore[misc]
        assert np.abs(answer(host, changed) - plain).max() > 1e-3, name


def test_fused_qkv_is_three_matrices(host: Host, tmp_path: Path) -> None:
    """The rows are q, then k, then v: with the rows of a split file, the logits are the same."""

    def fused(dimensions: Dimensions) -> list[TinyTensor]:
        width = dimensions.query_width + 2 * dimensions.kv_width
        return [
            linear("blk.0.attn_qkv.weight", width, dimensions.width),
            vector("blk.0.attn_qkv.bias", width, spread=1.0),
        ]

    program = build(host, make(tmp_path, "llama", extra=fused))
    parts = [op for op in program.ops if isinstance(op, ops.Linear) and "blk.0.attn_qkv" in op.weight.name]
    assert [(op.weight.row_start, op.weight.shape[0]) for op in parts] == [(0, 64), (64, 32), (96, 32)]
    assert [op.bias.row_start for op in parts if op.bias] == [0, 64, 96]


# ---- qwen ----


def test_qwen3_can_be_stretched_by_yarn(host: Host, tmp_path: Path) -> None:
    keys: dict[str, MetadataValue] = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 256,
    }
    tables = [op.table for op in build(host, make(tmp_path, "qwen3", keys)).ops if isinstance(op, ops.Rope)]
    assert tables[0].magnitude == pytest.approx(1 + 0.1 * np.log(4))
    assert tables[0].frequencies[-1] < build_plain_frequency(host, tmp_path)


def build_plain_frequency(host: Host, tmp_path: Path) -> float:
    program = build(host, make(tmp_path, "qwen3"))
    return next(op.table.frequencies[-1] for op in program.ops if isinstance(op, ops.Rope))


def test_qwen3moe_needs_its_experts(host: Host, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"required key 'qwen3moe\.expert_count' is missing"):
        build(host, make(tmp_path, "qwen3moe", {"expert_count": None}))


def test_qwen35_does_not_run_its_draft_blocks(host: Host, tmp_path: Path) -> None:
    program = build(host, make(tmp_path, "qwen35"))
    assert not any(name.startswith("blk.2.") for name in program.weight_names())


def test_qwen3next_reads_early_files(host: Host, tmp_path: Path) -> None:
    def interleaved(dimensions: Dimensions) -> list[TinyTensor]:
        return [linear("blk.0.ssm_in.weight", 2 * (2 * 16 + 2 * 32), dimensions.width)]

    def without_split(tensor: TinyTensor) -> TinyTensor | None:
        return None if tensor.name in ("blk.0.attn_qkv.weight", "blk.0.attn_gate.weight") else tensor

    logits = answer(host, make(tmp_path, "qwen3next", edit=without_split, extra=interleaved))
    assert np.isfinite(logits).all()


# ---- mistral3, phi3 ----


def test_mistral3_brings_an_op_of_its_own(host: Host, tmp_path: Path) -> None:
    program = build(host, make(tmp_path, "mistral3"))
    assert [descriptor.name for descriptor in program.plugin_ops.values()] == ["position_scale"]
    scales = [op for op in program.ops if isinstance(op, PositionScale)]
    assert [(op.beta, op.period) for op in scales] == [(pytest.approx(0.2), 16)] * 2


def test_mistral3_queries_grow_from_the_second_period_on(host: Host, tmp_path: Path) -> None:
    grown = answer(host, make(tmp_path, "mistral3"))
    constant = answer(host, make(tmp_path, "mistral3", {"attention.temperature_scale": None}))
    np.testing.assert_allclose(grown[:16], constant[:16], atol=1e-4)
    assert np.abs(grown[16:] - constant[16:]).max() > 1e-3


def test_phi3_takes_other_divisors_for_long_contexts(host: Host, tmp_path: Path) -> None:
    path = make(tmp_path, "phi3")
    short, limit, long = (answer(host, path, context) for context in (96, 256, 257))
    np.testing.assert_array_equal(short, limit)
    assert np.abs(long - short).max() > 0.01


# ---- gemma ----


def windows(program: Program) -> list[int | None]:
    return [op.window for op in program.ops if isinstance(op, Attend)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, [16, 16, 16, 16, 16, None, 16]),
        ({"attention.sliding_window": None}, [None] * 7),
        ({"attention.sliding_window_pattern": 2}, [16, None, 16, None, 16, None, 16]),
        ({"attention.sliding_window_pattern": 1}, [None] * 7),
        ({"attention.sliding_window_pattern": 0}, [16] * 7),
        ({"attention.sliding_window_pattern": [False, True] * 4}, [None, 16, None, 16, None, 16, None]),
    ],
)
def test_gemma3_windows_follow_the_file(
    host: Host, tmp_path: Path, keys: dict[str, MetadataValue], expected: list[int | None]
) -> None:
    assert windows(build(host, make(tmp_path, "gemma3", keys, num_layers=7))) == expected


def test_a_pattern_that_is_too_short_is_refused(host: Host, tmp_path: Path) -> None:
    path = make(tmp_path, "gemma3", {"attention.sliding_window_pattern": [True]})
    with pytest.raises(CheckpointError, match="has 1 elements; expected one for each of 2 layers"):
        build(host, path)


def test_gemma3_reads_the_base_of_other_converters(host: Host, tmp_path: Path) -> None:
    keys: dict[str, MetadataValue] = {"rope.freq_base_swa": None, "rope.local.freq_base": 5000.0}
    program = build(host, make(tmp_path, "gemma3", keys))
    table = next(op.table for op in program.ops if isinstance(op, ops.Rope))
    assert table.frequencies[1] == pytest.approx(5000.0 ** (-2 / 16))


@pytest.mark.parametrize(
    ("name", "layers", "scale"),
    [("gemma2", 46, 16**-0.5), ("gemma2", 2, 32**-0.5), ("gemma3", 62, 16**-0.5), ("gemma3", 6, 32**-0.5)],
)
def test_gemma_27b_scales_by_its_width_over_its_heads(
    host: Host, tmp_path: Path, name: str, layers: int, scale: float
) -> None:
    """Heads are 32 wide; the model is 64 wide over 4 heads."""
    path = make_checkpoint(tmp_path / "tiny.gguf", name, num_layers=layers, sizes={"head_width": 32})
    scales = [op.scale for op in build(host, path).ops if isinstance(op, Attend)]
    assert scales == pytest.approx([scale] * layers)


def test_gemma4_layers_share_the_cache_of_the_last_of_their_kind(host: Host, tmp_path: Path) -> None:
    program = build(host, make(tmp_path, "gemma4", num_layers=6))
    used = [op.cache.id for op in program.ops if isinstance(op, Attend)]
    assert used == [0, 1, 2, 1, 1, 2]
    assert len(program.kv_caches) == 3


def test_gemma4_refuses_to_share_what_nobody_has(host: Host, tmp_path: Path) -> None:
    keys: dict[str, MetadataValue] = {"attention.shared_kv_layers": 2}
    with pytest.raises(CheckpointError, match="layer 2 shares keys, but no layer of its kind before 1 has"):
        build(host, make(tmp_path, "gemma4", keys, num_layers=3))


# ---- nemotron ----


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ssm.time_step_rank", 3, "is 3; expected a divisor of ssm.inner_size, 64"),
        ("ssm.group_count", 3, "is 3; expected a divisor of ssm.time_step_rank, 4"),
        ("ssm.conv_kernel", 0, "is 0; expected at least 1"),
        ("ssm.inner_size", None, "is missing"),
    ],
)
def test_nemotron_state_sizes_must_divide(
    host: Host, tmp_path: Path, key: str, value: MetadataValue, message: str
) -> None:
    with pytest.raises(CheckpointError, match=f"'nemotron_h.{key}' {message}"):
        build(host, make(tmp_path, "nemotron_h", {key: value}, num_layers=3))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ssm.time_step_rank", 3, "is 3; expected a multiple of ssm.group_count, 2"),
        ("ssm.inner_size", 66, "is 66; expected a multiple of ssm.time_step_rank, 4"),
        ("attention.recurrent_layers", [True], "has 1 elements; expected one for each of 2 layers"),
    ],
)
def test_delta_net_sizes_must_divide(
    host: Host, tmp_path: Path, key: str, value: MetadataValue, message: str
) -> None:
    with pytest.raises(CheckpointError, match=f"'qwen35.{key}' {message}"):
        build(host, make(tmp_path, "qwen35", {key: value}))


def test_nemotron_layers_are_told_by_their_arrays(host: Host, tmp_path: Path) -> None:
    program = build(host, make(tmp_path, "nemotron_h", num_layers=6))
    kinds = [type(op).__name__ for op in program.ops if isinstance(op, (ops.SsmScan, Attend))]
    assert kinds == ["SsmScan", "Attend", "SsmScan", "Attend"]
    assert not any(isinstance(op, ops.Rope) for op in program.ops)
