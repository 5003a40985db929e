from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from jackfield.errors import CheckpointError, ProgramError
from jackfield.program import Buffer, Builder, Element, GluKind, Op, RopeLayout, Rows, Weight, make_rope_table
from jackfield.program import ops as vocabulary


@dataclass(frozen=True)
class Shaped:
    shape: tuple[int, ...]


TENSORS = {"table": Shaped((10, 8)), "matrix": Shaped((6, 8)), "gain": Shaped((8,)), "column": Shaped((8, 1))}


@pytest.fixture
def b() -> Builder:
    return Builder("toy", TENSORS)


def tokens(b: Builder, width: int) -> Buffer:
    return b.embed(Weight("table", (10, width)))


def outputs(b: Builder, width: int) -> Buffer:
    return b.select_rows(tokens(b, width))


def weight(*shape: int) -> Weight:
    return Weight("w", shape)


ROPE = make_rope_table(8, 1e4, RopeLayout.NEOX)
BAD_CALLS: list[tuple[str, Callable[[Builder], object], str]] = [
    ("embed", lambda b: b.embed(weight(8)), r"w\(8,\) is not a matrix"),
    ("embed", lambda b: b.embed(weight(9, 8), start=4, width=5), "columns 4 to 9 are not inside the 8 of"),
    ("embed", lambda b: b.embed(weight(9, 8), start=-1, width=5), "columns -1 to 4 are not inside"),
    ("select_rows", lambda b: b.select_rows(outputs(b, 4)), r"%1\[outputs, 4\] has only the output rows"),
    ("linear", lambda b: b.linear(tokens(b, 4), weight(6, 8)), r"w\(6, 8\) cannot multiply rows of %0"),
    ("linear", lambda b: b.linear(tokens(b, 4), weight(4)), r"w\(4,\) cannot multiply"),
    ("linear", lambda b: b.linear(tokens(b, 4), weight(6, 4), weight(5)), r"w\(5,\) has not the 6 entries"),
    ("linear", lambda b: b.linear(tokens(b, 4), weight(6, 4), None, weight(6)), "has not the 1 entries"),
    ("route_top_k", lambda b: b.route_top_k(tokens(b, 4), 5), "cannot use 5 experts"),
    ("route_top_k", lambda b: b.route_top_k(tokens(b, 4), 0), "cannot use 0 experts"),
    ("route_top_k", lambda b: b.route_top_k(tokens(b, 4), 1, groups=3), "does not divide into 3 groups"),
    ("route_top_k", lambda b: b.route_top_k(tokens(b, 4), 1, groups_used=2), "cannot use 2 of 1 groups"),
    ("route_top_k", lambda b: b.route_top_k(tokens(b, 4), 1, bias=weight(3)), "has not the 4 entries"),
    ("rms_norm", lambda b: b.rms_norm(tokens(b, 6), None, 1e-5, group=4), "groups of 4 do not divide"),
    ("rms_norm", lambda b: b.rms_norm(tokens(b, 6), None, 1e-5, group=0), "groups of 0 do not divide"),
    ("rms_norm", lambda b: b.rms_norm(tokens(b, 6), weight(4), 1e-5, group=3), "does not fit groups of 3"),
    ("l2_norm", lambda b: b.l2_norm(tokens(b, 6), 1e-5, group=4), "groups of 4 do not divide"),
    ("add", lambda b: b.add(tokens(b, 6), tokens(b, 4)), "differ in shape"),
    ("add", lambda b: b.add(tokens(b, 6), outputs(b, 6)), "differ in shape"),
    ("add_bias", lambda b: b.add_bias(tokens(b, 6), weight(5)), "has not the 6 entries"),
    ("mul", lambda b: b.mul(tokens(b, 6), tokens(b, 2)), "differ in shape"),
    ("mul", lambda b: b.mul(tokens(b, 6), outputs(b, 1)), "differ in shape"),
    ("scale", lambda b: b.scale(tokens(b, 6), weight=weight(2)), "neither one number nor a row"),
    ("glu", lambda b: b.glu(tokens(b, 6), tokens(b, 4)), "differ in shape"),
    ("columns", lambda b: b.columns(tokens(b, 6), 4, 3), "columns 4 to 7 are not inside the 6 of"),
    ("columns", lambda b: b.columns(tokens(b, 6), 4, 0), "columns 4 to 4 are not inside"),
    ("concat", lambda b: b.concat(tokens(b, 6), outputs(b, 6)), "differ in rows"),
    ("split_heads", lambda b: b.split_heads(tokens(b, 6), 4, 0, 1), "is not 4 equal parts"),
    ("split_heads", lambda b: b.split_heads(tokens(b, 6), 2, 2, 2), "columns 2 to 4 are not inside the 3 of"),
    ("rope", lambda b: b.rope(tokens(b, 6), 4, ROPE), "groups of 4 do not divide"),
    ("rope", lambda b: b.rope(tokens(b, 8), 4, ROPE), "8 rotated columns do not fit heads of 4"),
    ("kv_cache", lambda b: b.kv_cache(0, 4), "heads is 0, expected at least 1"),
    ("kv_cache", lambda b: b.kv_cache(1, 4, window=0), "window is 0"),
    ("conv_state", lambda b: b.conv_state(0, 4), "kernel is 0"),
    ("recurrent_state", lambda b: b.recurrent_state(1, 0, 4), "rows is 0"),
    (
        "kv_append",
        lambda b: append(b, tokens(b, 4), tokens(b, 8)),
        r"keys %0\[tokens, 4\] do not fit KvCache",
    ),
    ("kv_append", lambda b: append(b, tokens(b, 8), tokens(b, 4)), "values .* do not fit"),
    ("kv_append", lambda b: append(b, outputs(b, 8), tokens(b, 8)), "has only the output rows, expected all"),
    ("attend", lambda b: b.attend(tokens(b, 8), b.kv_cache(1, 4), 3, scale=1), "are not 3 heads of KvCache"),
    ("attend", lambda b: b.attend(tokens(b, 12), b.kv_cache(2, 4), 3, scale=1), "3 heads cannot share 2 kv"),
    (
        "attend",
        lambda b: b.attend(tokens(b, 4), b.kv_cache(1, 4, window=8), 1, scale=1),
        "window of None looks further back than KvCache",
    ),
    (
        "attend",
        lambda b: b.attend(tokens(b, 4), b.kv_cache(1, 4), 1, scale=1, sinks=weight(2)),
        "has not the 1 entries",
    ),
    (
        "conv1d",
        lambda b: b.conv1d(tokens(b, 4), weight(4, 2), b.conv_state(3, 4)),
        r"has not the shape \(4, 3\)",
    ),
    ("conv1d", lambda b: b.conv1d(tokens(b, 4), weight(4, 3), b.conv_state(3, 5)), "does not fit ConvState"),
    ("conv1d", lambda b: b.conv1d(outputs(b, 4), weight(4, 3), b.conv_state(3, 4)), "only the output rows"),
]


def append(b: Builder, k: Buffer, v: Buffer) -> None:
    b.kv_append(k, v, b.kv_cache(2, 4))


@pytest.mark.parametrize(
    ("op", "call", "message"), BAD_CALLS, ids=[f"{op}-{text}" for op, _, text in BAD_CALLS]
)
def test_a_wrong_shape_is_an_error_with_the_op_and_both_shapes(
    b: Builder, op: str, call: Callable[[Builder], object], message: str
) -> None:
    with pytest.raises(ProgramError, match=rf"^toy: op {op} number \d+: .*{message}"):
        call(b)


def scan(b: Builder, /, **changed: int) -> Buffer:
    """Scan with 4 heads of width 2, state width 3, 2 groups; ``changed`` sets some widths."""
    width = {"x": 8, "b": 6, "c": 6, "dt": 4, "a": 4, "groups": 2} | changed
    x, k, c, dt = (tokens(b, width[name]) for name in ("x", "b", "c", "dt"))
    return b.ssm_scan(
        x, k, c, dt, b.recurrent_state(4, 2, 3),
        a=weight(width["a"]), d=weight(4), dt_bias=weight(4), groups=width["groups"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": 7}, "x .* does not fit"),
        ({"b": 5}, "b .* and c .* are not 2 groups"),
        ({"c": 3}, "are not 2 groups"),
        ({"dt": 3}, "dt .* does not fit"),
        ({"a": 3}, "has not the 4 entries"),
        ({"groups": 3, "b": 9, "c": 9}, "3 groups do not divide"),
    ],
)
def test_ssm_scan_checks_every_operand(b: Builder, changed: dict[str, int], message: str) -> None:
    assert scan(Builder("toy", TENSORS)).width == 8
    with pytest.raises(ProgramError, match=f"op ssm_scan.*{message}"):
        scan(b, **changed)


def delta(b: Builder, **changed: int) -> Buffer:
    """Run 4 value heads of 2 x 3 over 2 key heads."""
    width = {"q": 4, "k": 4, "v": 12, "g": 4, "beta": 4, "key_heads": 2} | changed
    q, k, v, g, beta = (tokens(b, width[name]) for name in ("q", "k", "v", "g", "beta"))
    state = b.recurrent_state(4, 2, 3)
    return b.delta_rule(q, k, v, g, beta, state, scale=1.0, num_key_heads=width["key_heads"], tiled=False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"q": 6}, "q .* and k .* are not 2 heads"),
        ({"k": 2}, "are not 2 heads"),
        ({"v": 8}, "v .* does not fit"),
        ({"g": 2}, "g .* and beta .* do not fit"),
        ({"beta": 1}, "do not fit"),
        ({"key_heads": 3, "q": 6, "k": 6}, "3 key heads do not divide"),
    ],
)
def test_delta_rule_checks_every_operand(b: Builder, changed: dict[str, int], message: str) -> None:
    assert delta(Builder("toy", TENSORS)).width == 12
    with pytest.raises(ProgramError, match=f"op delta_rule.*{message}"):
        delta(b, **changed)


def run_experts(b: Builder, **changed: object) -> Buffer:
    """Run 2 of 4 experts, 8 wide, 6 inside."""
    x = tokens(b, 8)
    chosen, weights = b.route_top_k(tokens(b, 4), 2)
    arguments: dict[str, object] = {
        "gate": weight(4, 6, 8),
        "up": weight(4, 6, 8),
        "down": weight(4, 8, 6),
        "kind": GluKind.SILU,
    }
    return b.expert_feed_forward(x, chosen, weights, **(arguments | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"down": weight(8, 6)}, "is not a stack of matrices"),
        ({"up": None}, "exactly one of up and gate_up"),
        ({"gate_up": weight(4, 12, 8)}, "exactly one of up and gate_up"),
        ({"gate": None}, "kind 'silu' beside gate None"),
        ({"kind": GluKind.RELU2}, "kind 'relu2' beside gate"),
        ({"gate": weight(4, 8, 6)}, r"has not the shape \(4, 6, 8\)"),
        ({"up": weight(3, 6, 8)}, r"has not the shape \(4, 6, 8\)"),
        ({"up": None, "gate": None, "gate_up": weight(4, 6, 8)}, r"has not the shape \(4, 12, 8\)"),
        ({"gate_bias": weight(6)}, r"has not the shape \(4, 6\)"),
        ({"up_bias": weight(4, 8)}, r"has not the shape \(4, 6\)"),
        ({"down_bias": weight(4, 6)}, r"has not the shape \(4, 8\)"),
        ({"down_scale": weight(3)}, "has not the 4 entries"),
    ],
)
def test_experts_check_every_operand(b: Builder, changed: dict[str, object], message: str) -> None:
    assert run_experts(Builder("toy", TENSORS)).width == 8
    with pytest.raises(ProgramError, match=f"op expert_feed_forward.*{message}"):
        run_experts(b, **changed)


def test_experts_refuse_indices_that_are_not_a_routing(b: Builder) -> None:
    x = tokens(b, 8)
    with pytest.raises(ProgramError, match=r"%0\[tokens, 8\] and %0\[tokens, 8\] do not route rows"):
        b.expert_feed_forward(x, x, x, down=weight(4, 8, 6), up=weight(4, 6, 8), kind=GluKind.RELU2)


# ---- weights ----


def test_a_missing_tensor_is_named_with_the_shape_expected(b: Builder) -> None:
    with pytest.raises(
        CheckpointError, match=re.escape("toy: tensor 'nope' is missing, expected shape (3, 4)")
    ):
        b.weight("nope", 3, 4)


def test_a_tensor_of_another_shape_is_named_with_both(b: Builder) -> None:
    message = "toy: tensor 'matrix' has shape (6, 8), expected (8, 6)"
    with pytest.raises(CheckpointError, match=re.escape(message)):
        b.weight("matrix", 8, 6)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        b.optional_weight("matrix", 8, 6)


def test_extents_of_one_do_not_count(b: Builder) -> None:
    assert b.weight("column", 8) == Weight("column", (8,))
    assert b.weight("gain", 1, 8).shape == (1, 8)


def test_an_optional_tensor_may_be_absent(b: Builder) -> None:
    assert b.optional_weight("nope", 3) is None
    assert not b.has("nope")
    assert b.has("gain")


def test_rows_of_a_weight_add_up() -> None:
    rows = Weight("fused", (10, 4)).rows(2, 9).rows(3, 5)
    assert (rows.shape, rows.row_start) == ((2, 4), 5)


# ---- the whole ----


def test_views_know_their_root_and_column(b: Builder) -> None:
    x = tokens(b, 8)
    view = b.columns(b.columns(x, 2, 6), 1, 3)
    assert (view.root, view.column, view.width) == (x, 3, 3)
    assert b.columns(x, 0, 8).rows is Rows.TOKENS


def test_finish_wants_rows_of_outputs(b: Builder) -> None:
    x = tokens(b, 8)
    with pytest.raises(ProgramError, match=r"op finish .* has token rows; call select_rows before the head"):
        b.finish(b.select_rows(x), x, 16)
    with pytest.raises(ProgramError, match="has token rows"):
        b.finish(x, b.select_rows(x), 16)


def test_an_op_that_reads_what_nobody_wrote_is_found(b: Builder) -> None:
    x = outputs(b, 8)
    b.append(vocabulary.Softcap(Buffer(99, 8, Rows.OUTPUTS), 1.0, b.buffer(8, Rows.OUTPUTS)))
    with pytest.raises(ProgramError, match="op Softcap number 2 reads %99"):
        b.finish(x, x, 16)


def test_an_op_that_writes_twice_is_found(b: Builder) -> None:
    x = outputs(b, 8)
    b.append(vocabulary.Softcap(x, 1.0, x))
    with pytest.raises(ProgramError, match=r"op Softcap number 2 writes %1.* which is a view or written"):
        b.finish(x, x, 16)


def test_logits_that_nobody_wrote_are_found(b: Builder) -> None:
    with pytest.raises(ProgramError, match="no op writes %5"):
        b.finish(outputs(b, 8), Buffer(5, 8, Rows.OUTPUTS), 16)


def test_every_method_of_the_builder_makes_an_op_of_the_vocabulary(b: Builder) -> None:
    scan(b)
    delta(b)
    run_experts(b)
    x = tokens(b, 8)
    cache = b.kv_cache(1, 8)
    b.kv_append(b.rope(x, 8, ROPE), x, cache)
    b.attend(x, cache, 1, scale=1.0)
    b.conv1d(x, weight(8, 3), b.conv_state(3, 8))
    for build in (b.l2_norm(x, 1e-5, group=4), b.rms_norm(x, None, 1e-5), b.add_bias(x, weight(8))):
        b.concat(b.glu(build, x), b.mul(x, b.columns(x, 0, 1)))
    b.softcap(b.scale(b.activate(b.split_heads(x, 2, 0, 2), vocabulary.Activation.SILU), 2.0), 5.0)
    x = b.choose_rows(b.soft_embed(weight(9, 8)), b.add(x, x))
    hidden = b.select_rows(x)
    program = b.finish(hidden, b.linear(hidden, weight(9, 8)), 16)
    assert {type(op) for op in program.ops} == vocabulary.VOCABULARY


def test_operands_are_found_by_their_place_in_the_op(b: Builder) -> None:
    chosen, weights = b.route_top_k(tokens(b, 4), 2)
    op = b.finish(x := outputs(b, 8), x, 16).ops[1]
    assert isinstance(op, Op)
    assert op.writes == (chosen, weights)
    assert [part.width for part in op.reads] == [4]
    assert chosen.element is Element.I32
