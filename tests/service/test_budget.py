"""How much context fits into the memory there is."""

from __future__ import annotations

import dataclasses

import pytest

from jackfield.backend import Limits, MemoryEstimate
from jackfield.engine.loading import build_program
from jackfield.errors import (
    OutOfMemory,
)
from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.program import BlockDiffusion, Program
from jackfield.service.budget import plan_limits
from jackfield.service.config import EngineConfig
from jackfield.testing.tiny import make_checkpoint

KV_BYTES, FIXED_BYTES = 100, 5000


def _estimate(limits: Limits) -> MemoryEstimate:
    """A model whose caches take 100 bytes a token."""
    return MemoryEstimate(0, 0, KV_BYTES * limits.num_pages * limits.page_size, 0, FIXED_BYTES)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    with open_checkpoint(make_checkpoint(path, "llama", context_length=4096)) as checkpoint:
        return build_program(checkpoint, Host())


def test_plenty_of_memory_gives_the_whole_context_twice(program: Program) -> None:
    limits = plan_limits(program, EngineConfig(), 2, _estimate, None)
    assert limits.max_context == 4096
    assert limits.num_pages * limits.page_size >= 2 * 4096
    assert limits.num_threads == 2


def test_context_nobody_asked_for_shrinks_until_it_fits(program: Program) -> None:
    config = EngineConfig(memory_reserve=0, max_sequences=1)
    limits = plan_limits(program, config, 1, _estimate, KV_BYTES * 1500 + FIXED_BYTES)
    assert limits.max_context == 1024
    assert _estimate(limits).resident_bytes <= KV_BYTES * 1500 + FIXED_BYTES


def test_context_that_was_asked_for_is_kept_or_refused_with_figures(program: Program) -> None:
    config = EngineConfig(memory_reserve=0, context_length=4000)
    with pytest.raises(
        OutOfMemory, match=r"a context of 4000 needs .* a context of 1500 would fit"
    ) as caught:
        plan_limits(program, config, 1, _estimate, KV_BYTES * 1500 + FIXED_BYTES)
    assert caught.value.numbers["fitting"] == 1500


def test_a_diffusion_model_gets_room_for_whole_canvases(program: Program) -> None:
    def limits_of(canvas_length: int, **settings: int) -> Limits:
        diffusing = dataclasses.replace(program, diffusion=BlockDiffusion(canvas_length))
        return plan_limits(diffusing, EngineConfig(**settings), 1, _estimate, None)

    assert limits_of(256, max_rows=512).max_outputs == 512
    assert limits_of(256, max_rows=512, max_sequences=1).max_outputs == 256
    large = limits_of(700, max_rows=512)
    assert (large.max_rows, large.max_outputs) == (700, 700)


def test_a_file_larger_than_memory_is_told_with_figures(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    def mapped(limits: Limits) -> MemoryEstimate:
        return MemoryEstimate(9 << 30, 0, 1 << 20, 0, 1 << 20)

    plan_limits(program, EngineConfig(memory_reserve=0), 1, mapped, 4 << 30)
    assert "the model file has 9216 MiB and 4094 MiB of memory can be taken" in caplog.text
    caplog.clear()
    plan_limits(program, EngineConfig(memory_reserve=0), 1, mapped, 10 << 30)
    assert not caplog.text


def test_reserve_is_left_to_the_rest_of_the_system(program: Program) -> None:
    with pytest.raises(OutOfMemory, match="0 MiB can be taken"):
        plan_limits(program, EngineConfig(memory_reserve=10**9), 1, _estimate, 10**9)
