from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from jackfield.backend import Backend, Executable, Limits, Step
from jackfield.descriptors import OpDescriptor
from jackfield.errors import BackendError, OutOfMemory, PluginImportError, ProgramError
from jackfield.program import Buffer, Builder, Inputs, Op, Program, Weight
from jackfield_backends.reference.backend import ReferenceBackend
from jackfield_backends.reference.lifetimes import last_reads, peak_width


@dataclass(frozen=True)
class Reverse(Op):
    """Columns the other way round: an op of this test's own."""

    x: Buffer
    out: Buffer


def reverse(op: Reverse, inputs: Inputs) -> None:
    inputs.write(op.out, inputs.read(op.x)[:, ::-1])


def too_wide(op: Reverse, inputs: Inputs) -> None:
    inputs.write(op.out, np.zeros((1, 1), np.float32))


def declare(reference: str) -> OpDescriptor:
    return OpDescriptor(
        name="reverse", summary="", factory=f"{__name__}:Reverse", reference=f"{__name__}:{reference}"
    )


@dataclass(frozen=True)
class Table:
    values: np.ndarray
    name: str = "table"
    type_name: str = "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def data(self) -> np.ndarray:
        return self.values.reshape(-1).view(np.uint8)

    def to_float32(self) -> np.ndarray:
        return self.values


WEIGHTS = {"table": Table(np.arange(12, dtype=np.float32).reshape(3, 4))}
LIMITS = Limits(num_pages=2, page_size=16)


def make_program() -> Program:
    b = Builder("toy", WEIGHTS)
    out = b.buffer(4)
    b.append(Reverse(b.embed(b.weight("table", 3, 4)), out))
    rows = b.select_rows(out)
    return b.finish(rows, rows, 32)


def one_row(token: int) -> Step:
    zeros = np.zeros(1, np.int32)
    return Step(np.array([token], np.int32), zeros, np.array([0, 1], np.int32), zeros[None], zeros, zeros)


def test_it_satisfies_the_contract() -> None:
    backend: Backend = ReferenceBackend()
    program = make_program().with_plugin_ops([declare("reverse")])
    executable: Executable = backend.open(program, WEIGHTS, LIMITS)
    assert backend.unavailable() is None
    assert executable.describe()["kv"] == "f32"
    executable.close()


def test_an_op_of_a_plugin_runs() -> None:
    program = make_program().with_plugin_ops([declare("reverse")])
    executable = ReferenceBackend().open(program, WEIGHTS, LIMITS)
    np.testing.assert_array_equal(executable.step(one_row(1)), [[7, 6, 5, 4]])
    np.testing.assert_array_equal(executable.hidden(), [[7, 6, 5, 4]])


def test_an_op_that_writes_another_shape_is_told_so() -> None:
    program = make_program().with_plugin_ops([declare("too_wide")])
    executable = ReferenceBackend().open(program, WEIGHTS, LIMITS)
    with pytest.raises(ProgramError, match=r"wrote \(1, 1\) to %0\[tokens, 4\], expected \(1, 4\)"):
        executable.step(one_row(1))


def test_an_op_nobody_declared_cannot_run() -> None:
    backend, program = ReferenceBackend(), make_program()
    assert "op 'Reverse' of toy has no declaration" in (backend.cannot_run(program, WEIGHTS) or "")
    with pytest.raises(BackendError, match=r"Program\.with_plugin_ops"):
        backend.open(program, WEIGHTS, LIMITS)
    assert backend.cannot_run(program.with_plugin_ops([declare("reverse")]), WEIGHTS) is None


def test_a_reference_that_does_not_import_is_reported() -> None:
    with pytest.raises(PluginImportError, match="nowhere"):
        ReferenceBackend().open(make_program().with_plugin_ops([declare("nowhere")]), WEIGHTS, LIMITS)


# ---- memory ----


def recurrent_program() -> Program:
    b = Builder("toy", WEIGHTS)
    x = b.embed(b.weight("table", 3, 4))
    cache = b.kv_cache(1, 4)
    b.kv_append(x, x, cache)
    x = b.attend(x, cache, 1, scale=1.0)
    x = b.conv1d(x, Weight("taps", (4, 3)), b.conv_state(3, 4))
    rows = b.select_rows(x)
    return b.finish(rows, rows, 32)


def test_recurrent_programs_need_state_slots() -> None:
    with pytest.raises(BackendError, match="num_state_slots is 0, expected at least 1"):
        ReferenceBackend().open(recurrent_program(), WEIGHTS, LIMITS)


def test_more_memory_than_there_is_is_refused_with_the_figure() -> None:
    huge = Limits(num_pages=2**46, page_size=16, num_state_slots=1)
    with pytest.raises(OutOfMemory, match=r"reference backend: \d+ bytes for keys") as caught:
        ReferenceBackend().open(recurrent_program(), WEIGHTS, huge)
    assert caught.value.numbers["wanted_bytes"] > 2**46


def test_the_estimate_counts_everything_as_float32() -> None:
    limits = Limits(num_pages=3, page_size=16, num_state_slots=2, max_rows=8)
    estimate = ReferenceBackend().estimate(make_program(), WEIGHTS, limits)
    assert (estimate.weights_bytes, estimate.kv_bytes, estimate.state_bytes) == (48, 0, 0)
    program = recurrent_program()
    weights = {**WEIGHTS, "taps": Table(np.zeros((4, 3), np.float32))}
    estimate = ReferenceBackend().estimate(program, weights, limits)
    assert estimate.kv_bytes == 3 * 16 * 8 * 4
    assert estimate.state_bytes == 2 * 2 * 4 * 4
    assert estimate.scratch_bytes == 4 * 8 * peak_width(program)


def test_buffers_are_let_go_after_their_last_read() -> None:
    program = recurrent_program()
    freed = last_reads(program)
    assert [part.id for part in freed[2]] == [0]  # attend: queries were keys and values too
    assert program.logits not in [part for parts in freed.values() for part in parts]
    assert peak_width(program) == 8
