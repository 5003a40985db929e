from __future__ import annotations

from dataclasses import dataclass

import pytest

from jackfield.descriptors import OpDescriptor
from jackfield.errors import ProgramError
from jackfield.program import Buffer, Builder, Inputs, Op, Program, Weight


@dataclass(frozen=True)
class Double(Op):
    """An op no backend knows."""

    x: Buffer
    out: Buffer


def double(op: Double, inputs: Inputs) -> None:
    inputs.write(op.out, 2 * inputs.read(op.x))


DOUBLE = OpDescriptor(
    name="double", summary="twice", factory=f"{__name__}:Double", reference=f"{__name__}:double"
)


def make_program() -> Program:
    b = Builder("toy", {})
    x = b.embed(Weight("table", (10, 8)))
    cache = b.kv_cache(2, 4, 3, window=16)
    b.kv_append(x, b.columns(x, 0, 6), cache)
    x = b.conv1d(x, Weight("taps", (8, 4)), b.conv_state(4, 8))
    b.recurrent_state(2, 3, 5)
    out = b.buffer(8)
    b.append(Double(x, out))
    hidden = b.select_rows(out)
    return b.finish(hidden, b.linear(hidden, Weight("table", (10, 8))), 64)


def test_a_program_knows_its_sizes() -> None:
    program = make_program()
    assert (program.vocab_size, program.embedding_width, program.context_length) == (10, 8, 64)
    assert [type(op).__name__ for op in program.ops][-2:] == ["SelectRows", "Linear"]


def test_states_are_numbered_and_sorted_by_kind() -> None:
    program = make_program()
    assert [state.id for state in program.states] == [0, 1, 2]
    assert [cache.window for cache in program.kv_caches] == [16]
    assert [state.shape for state in program.fixed_states] == [(3, 8), (2, 3, 5)]
    assert program.is_recurrent


def test_memory_is_counted_by_token_and_by_sequence() -> None:
    program = make_program()
    assert program.kv_bytes_per_token(2) == 2 * 2 * (4 + 3)
    assert program.kv_bytes_per_token(34 / 32) == round(14 * 34 / 32)
    assert program.fixed_state_bytes() == 4 * (3 * 8 + 2 * 3 * 5)


def test_weights_come_in_order_of_use() -> None:
    program = make_program()
    assert [weight.name for weight in program.weights()] == ["table", "taps", "table"]
    assert program.weight_names() == {"table", "taps"}


def test_buffers_are_those_with_memory() -> None:
    assert all(buffer.base is None for buffer in make_program().buffers())
    assert len(list(make_program().buffers())) == 5


def test_a_declared_op_brings_its_descriptor() -> None:
    program = make_program().with_plugin_ops([DOUBLE])
    assert program.plugin_ops == {Double: DOUBLE}


def test_an_op_nobody_declares_is_refused_by_name() -> None:
    with pytest.raises(ProgramError, match="toy: no plugin declares op 'Double'"):
        make_program().with_plugin_ops([])
