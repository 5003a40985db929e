"""Every native op against the reference backend: odd sizes, views, one row, many rows."""

from __future__ import annotations

import numpy as np
import pytest

from jackfield.backend import SoftTokens
from jackfield.errors import BackendError
from jackfield.program import Activation, GluKind, RopeLayout, RouterScore, make_rope_table
from jackfield.testing.blocks import encode

pytestmark = pytest.mark.jit

NEAR = {"rtol": 1e-5, "atol": 1e-5}
ROWS = 20
SPANS = [((0, 0, 1),), ((1, 3, 20), (2, 5, 6)), ((0, 7, 7), (3, 1, 5))]


def rows(generator, width, scale=1.0, count=ROWS):
    return (scale * generator.standard_normal((count, width))).astype(np.float32)


def check(made, **tolerance):
    for spans in SPANS:
        ours, theirs = made.step(*spans)
        np.testing.assert_allclose(ours, theirs, **{**NEAR, **tolerance})


@pytest.mark.parametrize("width", [1, 15, 16, 33, 300])
def test_add_and_mul_of_views(pair, generator, width) -> None:
    inputs = {"skip": rows(generator, 3), "x": rows(generator, width), "y": rows(generator, width)}
    check(pair(inputs, {}, lambda b, i: b.mul(b.add(i["x"], i["y"]), i["y"])))


def test_mul_by_a_column_bias_and_scale(pair, generator) -> None:
    inputs = {"x": rows(generator, 37), "y": rows(generator, 1)}
    weights = {"bias": rows(generator, 37)[0], "row": rows(generator, 37)[0], "one": rows(generator, 1)[0]}

    def body(b, i):
        x = b.add_bias(b.mul(i["x"], i["y"]), b.weight("bias", 37))
        x = b.scale(x, 0.5, b.weight("row", 37))
        return b.scale(b.scale(x, 2.0, b.weight("one", 1)), -3.0)

    check(pair(inputs, weights, body))


@pytest.mark.parametrize("kind", list(Activation))
def test_activate(pair, generator, kind) -> None:
    check(pair({"x": rows(generator, 70, 4.0)}, {}, lambda b, i: b.activate(i["x"], kind)))


@pytest.mark.parametrize("kind", [kind for kind in GluKind if kind is not GluKind.RELU2])
def test_glu(pair, generator, kind) -> None:
    inputs = {"gate": rows(generator, 70, 5.0), "up": rows(generator, 70, 5.0)}
    check(pair(inputs, {}, lambda b, i: b.glu(i["gate"], i["up"], kind)))


def test_softcap(pair, generator) -> None:
    check(pair({"x": rows(generator, 18, 30.0)}, {}, lambda b, i: b.softcap(i["x"], 7.5)))


def test_concat_and_split_heads(pair, generator) -> None:
    inputs = {"x": rows(generator, 21), "y": rows(generator, 5)}

    def body(b, i):
        return b.concat(b.split_heads(i["x"], 3, 2, 4), i["y"])

    check(pair(inputs, {}, body))


@pytest.mark.parametrize("width", [1, 16, 37, 300])
@pytest.mark.parametrize("rows_of", ["tokens", "outputs"])
def test_choose_rows(pair, generator, width, rows_of) -> None:
    inputs = {"x": rows(generator, width), "y": rows(generator, width)}

    def body(b, i):
        chosen = (i["x"], i["y"]) if rows_of == "tokens" else (b.select_rows(i["x"]), b.select_rows(i["y"]))
        return b.choose_rows(*chosen)

    made = pair(inputs, {}, body)
    for canvases in ([0, 1, 0], [1, 0, 1]):
        ours, theirs = made.refine((0, 1, 2), (1, 3, 9), (2, 0, 4), canvases=canvases)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("width", [5, 256, 300])
def test_soft_embed(pair, generator, width) -> None:
    """Rows without an entry, with one and with many; a step without any is zero."""
    weights = {"other": rows(generator, width, count=ROWS)}
    made = pair(
        {"x": rows(generator, 1)},
        weights,
        lambda b, i: b.soft_embed(b.weight("other", ROWS, width), scale=3.0),
    )
    ids = np.array([7, *range(ROWS), 0, 19], np.int32)
    shares = generator.random(len(ids)).astype(np.float32)
    soft = SoftTokens(np.array([0, 0, 1, 1 + ROWS, len(ids)], np.int64), ids, shares)
    ours, theirs = made.refine((0, 1, 3), (1, 0, 2), canvases=[1, 1], soft_tokens=soft)
    np.testing.assert_allclose(ours, theirs, **NEAR)
    assert not ours[0].any()
    assert ours[1:].any(axis=1).all()
    assert not made.step((0, 1, 3))[0].any()


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0", "Q6_K"])
def test_soft_embed_of_more_rows_than_a_tile(pair, block_tensor, generator, kind) -> None:
    """Tokens that many rows share, or one, or none; every row its own number of them, in the table's format."""
    width, num_rows = 768, 35
    data = encode(rows(generator, width, count=ROWS), kind, generator)
    made = pair(
        {"x": rows(generator, 1)},
        {},
        lambda b, i: b.soft_embed(b.weight("other", ROWS, width)),
        tensors=[block_tensor("other", (ROWS, width), kind, data)],
    )
    ids = [np.flatnonzero(generator.random(ROWS) < t / num_rows) for t in range(num_rows)]
    starts = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    shares = generator.random(int(starts[-1])).astype(np.float32)
    soft = SoftTokens(starts, np.concatenate(ids).astype(np.int32), shares)
    ours, theirs = made.refine((0, 0, 20), (1, 3, 18), canvases=[1, 1], soft_tokens=soft)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_soft_tokens_outside_the_table_are_refused(pair, generator) -> None:
    weights = {"other": rows(generator, 4, count=ROWS)}
    made = pair({"x": rows(generator, 1)}, weights, lambda b, i: b.soft_embed(b.weight("other", ROWS, 4)))
    soft = SoftTokens(np.array([0, 1], np.int64), np.array([ROWS], np.int32), np.ones(1, np.float32))
    with pytest.raises(BackendError, match="a step has a soft token of 20, expected 0 to 19"):
        made.refine((0, 0, 1), canvases=[1], soft_tokens=soft)


@pytest.mark.parametrize(
    ("width", "group", "size"), [(6, None, 6), (48, 24, 24), (34, 17, 34), (40, 8, None)]
)
def test_rms_norm(pair, generator, width, group, size) -> None:
    weights = {"w": rows(generator, size or 1)[0]}

    def body(b, i):
        return b.rms_norm(i["x"], b.weight("w", size) if size else None, 1e-3, group=group)

    check(pair({"skip": rows(generator, 1), "x": rows(generator, width)}, weights, body))


def test_l2_norm(pair, generator) -> None:
    check(pair({"x": rows(generator, 57)}, {}, lambda b, i: b.l2_norm(i["x"], 1e-2, group=19)))


@pytest.mark.parametrize("layout", list(RopeLayout))
@pytest.mark.parametrize(("width", "rotated"), [(8, 8), (40, 36), (96, 64)])
def test_rope(pair, generator, layout, width, rotated) -> None:
    table = make_rope_table(rotated, 10000.0, layout, magnitude=1.25)
    check(pair({"x": rows(generator, 3 * width)}, {}, lambda b, i: b.rope(i["x"], width, table)))


@pytest.mark.parametrize("score", list(RouterScore))
@pytest.mark.parametrize(("experts", "k", "groups"), [(5, 2, 1), (24, 4, 4)])
def test_route_top_k(pair, generator, score, experts, k, groups) -> None:
    weights = {"bias": 0.1 * rows(generator, experts)[0]}

    def body(b, i):
        chosen, shares = b.route_top_k(
            i["x"], k, score=score, bias=b.weight("bias", experts), scale=1.5, groups=groups,
            groups_used=max(1, groups // 2), normalize=experts == 5,
        )  # fmt: skip
        ones = b.scale(b.columns(i["x"], 0, k), 0.0)
        return b.concat(shares, b.add(ones, shares)), chosen

    check(pair({"x": rows(generator, experts, 2.0)}, weights, lambda b, i: body(b, i)[0]))


@pytest.mark.parametrize(("channels", "kernel"), [(5, 2), (80, 4)])
def test_conv1d(pair, generator, channels, kernel) -> None:
    weights = {"w": rows(generator, kernel, count=channels), "bias": rows(generator, channels)[0]}

    def body(b, i):
        state = b.conv_state(kernel, channels)
        bias = b.weight("bias", channels) if channels == 80 else None
        return b.conv1d(i["x"], b.weight("w", channels, kernel), state, bias)

    check(pair({"x": rows(generator, channels)}, weights, body))


@pytest.mark.parametrize(("heads", "width", "columns", "groups"), [(2, 3, 5, 1), (4, 8, 32, 2)])
def test_ssm_scan(pair, generator, heads, width, columns, groups) -> None:
    inputs = {
        "x": rows(generator, heads * width), "b": rows(generator, groups * columns),
        "c": rows(generator, groups * columns), "dt": rows(generator, heads),
    }  # fmt: skip
    weights = {
        "a": -np.exp(rows(generator, heads)[0]),
        "d": rows(generator, heads)[0],
        "dt": rows(generator, heads)[0],
    }

    def body(b, i):
        state = b.recurrent_state(heads, width, columns)
        a, d, bias = b.weight("a", heads), b.weight("d", heads), b.weight("dt", heads)
        return b.ssm_scan(i["x"], i["b"], i["c"], i["dt"], state, a=a, d=d, dt_bias=bias, groups=groups)

    check(pair(inputs, weights, body), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize(("heads", "keys", "p", "n"), [(2, 1, 3, 5), (4, 2, 16, 80)])
def test_delta_rule(pair, generator, heads, keys, p, n, tiled) -> None:
    unit = rows(generator, keys * p)
    inputs = {
        "q": unit / np.sqrt(p), "k": rows(generator, keys * p) / np.sqrt(p), "v": rows(generator, heads * n),
        "g": -np.exp(rows(generator, heads)), "beta": rows(generator, heads) ** 2 % 1,
    }  # fmt: skip

    def body(b, i):
        state = b.recurrent_state(heads, p, n)
        return b.delta_rule(
            i["q"], i["k"], i["v"], i["g"], i["beta"], state, scale=0.3, num_key_heads=keys, tiled=tiled
        )

    check(pair(inputs, {}, body), rtol=1e-4, atol=1e-4)
