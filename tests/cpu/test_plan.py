"""Where buffers lie, and the passes before that: nothing that is needed is ever written over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.backend import Limits
from jackfield.program import Buffer, KvCache, Op, Weight
from jackfield.program.ops import Add, Attend, Concat, Glu, Linear, Mul, RmsNorm
from jackfield_backends.cpu.fused import LinearAdd, can_quantize_output
from jackfield_backends.cpu.linear import linear
from jackfield_backends.cpu.lowering import Lowering, Places
from jackfield_backends.cpu.memory import Arena
from jackfield_backends.cpu.passes import add_residuals
from jackfield_backends.cpu.plan import Block, Span, buffer_spans, make_plan, place_blocks
from jackfield_backends.cpu.tables import StepTables

X, Y, Z, W, OUT = (Buffer(i, 8) for i in range(5))
MATRIX = Weight("w", (8, 8))


def sizes(*buffers: Buffer) -> dict[int, int]:
    return {buffer.id: 64 * (1 + buffer.id) for buffer in buffers}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20), st.integers(0, 5)), max_size=25))
def test_blocks_that_meet_never_overlap(shapes: list[tuple[int, int, int]]) -> None:
    blocks = [Block(64 * size, Span(first, first + length)) for size, first, length in shapes]
    total = place_blocks(blocks)
    for i, block in enumerate(blocks):
        assert block.offset + block.num_bytes <= total
        for other in blocks[:i]:
            apart = (
                block.offset + block.num_bytes <= other.offset
                or other.offset + other.num_bytes <= block.offset
            )
            assert apart or block.span.last < other.span.first or other.span.last < block.span.first


def test_blocks_share_memory_one_after_the_other() -> None:
    blocks = [Block(100, Span(i, i + 1)) for i in range(0, 20, 2)]
    assert place_blocks(blocks) == 100


def test_a_view_keeps_its_base_alive() -> None:
    view = Buffer(9, 4, base=X, start=4)
    ops: list[Op] = [RmsNorm(W, None, 0.1, 8, X), RmsNorm(X, None, 0.1, 8, Y), RmsNorm(view, None, 0.1, 4, Z)]
    spans = buffer_spans([Concat(W, W, W), *ops], [Z])
    assert spans[X.id] == Span(1, 3)
    assert spans[Z.id] == Span(3, 4)


def plan_of(ops: list[Op], kept: list[Buffer]):
    return make_plan(ops, kept, sizes(X, Y, Z, W, OUT), {})


def start() -> list[Op]:
    """Make X and Y; only their outputs matter."""
    return [Concat(X, X, X), Concat(X, X, Y)]


def test_an_elementwise_op_writes_over_an_operand_that_ends_there() -> None:
    plan = plan_of([*start(), Add(X, Y, Z)], [Z])
    assert plan.buffers[Z.id] == plan.buffers[X.id]
    assert plan.buffers[Y.id] != plan.buffers[X.id]


@pytest.mark.parametrize(
    "last",
    [
        [Add(X, Y, Z), Mul(X, Z, OUT)],  # X is read later
        [Add(X, Buffer(9, 8, base=X), OUT)],  # X is read through a view at the same time
        [Concat(X, Y, OUT)],  # not elementwise
        [Glu(Buffer(9, 8, base=X), Y, "silu", OUT)],  # an operand that is a view
    ],
)
def test_nothing_else_is_written_over(last: list[Op]) -> None:
    plan = plan_of([*start(), *last], [OUT])
    assert plan.buffers[last[0].writes[0].id] != plan.buffers[X.id]


def test_a_quantised_copy_has_memory_of_its_own_while_it_lives() -> None:
    ops = [*start(), RmsNorm(X, None, 0.1, 8, Z), Linear(Z, MATRIX, None, None, OUT)]
    plan = make_plan(ops, [OUT], sizes(X, Y, Z, OUT), {Z.id: (Span(2, 3), 4096)})
    copy = plan.activations[Z.id]
    for buffer in (X, Z, OUT):
        at = plan.buffers[buffer.id]
        assert at + 64 * (1 + buffer.id) <= copy or at >= copy + 4096


# ---- passes ----


def test_a_product_adds_its_residual() -> None:
    product = Linear(X, MATRIX, None, None, Z)
    for add in (Add(Z, Y, OUT), Add(Y, Z, OUT)):
        ops = add_residuals([*start(), product, add], [OUT])
        assert ops[2:] == [LinearAdd(X, MATRIX, None, None, OUT, residual=Y)]
        assert ops[2].reads == (X, Y)


def test_the_product_moves_to_the_sum_whose_residual_comes_late() -> None:
    product, residual = Linear(X, MATRIX, None, None, Z), RmsNorm(X, None, 0.1, 8, Y)
    ops = add_residuals([Concat(X, X, X), product, residual, Add(Y, Z, OUT)], [OUT])
    assert ops[1:] == [residual, LinearAdd(X, MATRIX, None, None, OUT, residual=Y)]


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ([Add(Z, Y, OUT), Mul(Z, Y, W)], [OUT, W]),  # the product is read again
        ([Add(Z, Y, OUT)], [OUT, Z]),  # the product is a result
        ([Add(Z, Z, OUT)], [OUT]),  # the product twice
        ([Add(Buffer(9, 8, base=Z), Y, OUT)], [OUT]),  # a view of it
    ],
)
def test_a_product_that_is_needed_itself_stays(more: list[Op], kept: list[Buffer]) -> None:
    ops = [*start(), Linear(X, MATRIX, None, None, Z), *more]
    assert add_residuals(ops, kept) == ops


def test_two_products_summed_become_one_with_the_other_as_residual() -> None:
    ops = [
        *start(), Linear(X, MATRIX, None, None, Z), Linear(Y, MATRIX, None, None, W), Add(Z, W, OUT),
    ]  # fmt: skip
    found = add_residuals(ops, [OUT])
    assert found[2:] == [ops[3], LinearAdd(X, MATRIX, None, None, OUT, residual=W)]


def test_ops_quantise_whole_rows_of_whole_blocks_only() -> None:
    wide, narrow = Buffer(0, 64), Buffer(1, 40)
    cache = KvCache(0, 2, 16, 32)
    attend = Attend(wide, cache, 2, 1.0, None, None, None, wide)
    assert can_quantize_output(RmsNorm(wide, None, 0.1, 64, wide))
    assert not can_quantize_output(RmsNorm(wide, None, 0.1, 32, wide))
    assert not can_quantize_output(RmsNorm(narrow, None, 0.1, 40, narrow))
    assert can_quantize_output(Glu(wide, wide, "silu", wide))
    assert can_quantize_output(attend)
    assert not can_quantize_output(replace(attend, cache=replace(cache, value_width=16)))
    assert not can_quantize_output(Add(wide, wide, wide))


def test_a_call_with_thread_scratch_ends_where_threads_meet() -> None:
    limits = Limits(num_pages=1, max_rows=1, max_outputs=1, max_sequences=1)
    lowering = Lowering({}, limits, StepTables(limits, Arena()), Arena(), Places())
    lowering.call(linear, lowering.counter(), barrier=False)
    lowering.call(linear, lowering.thread_scratch(64))
    with pytest.raises(AssertionError, match="scratch"):
        lowering.call(linear, lowering.thread_scratch(64), barrier=False)
