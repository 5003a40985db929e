"""Attention over pages against the reference: groups, widths, windows, sinks, prefill and decode."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.jit

NEAR_F16 = {"rtol": 2e-3, "atol": 2e-3}  # keys and values are rounded to 11 bits
NEAR_F32 = {"rtol": 1e-5, "atol": 1e-5}
ROWS = 24


def rows(generator, width, scale=1.0):
    return (scale * generator.standard_normal((ROWS, width))).astype(np.float32)


def open_attention(
    pair, generator, heads, kv_heads, width, values=None, *, sinks=False, kv_type="f16", **options
):
    values = values or width
    inputs = {
        "q": rows(generator, heads * width, 2.0), "k": rows(generator, kv_heads * width),
        "v": rows(generator, kv_heads * values),
    }  # fmt: skip
    weights = {"sinks": rows(generator, heads)[0]} if sinks else {}
    window = options.get("window")

    def body(b, i):
        cache = b.kv_cache(kv_heads, width, values, window)
        b.kv_append(i["k"], i["v"], cache)
        sink = b.weight("sinks", heads) if sinks else None
        return b.attend(i["q"], cache, heads, scale=width**-0.5, sinks=sink, **options)

    return pair(inputs, weights, body, kv_type=kv_type)


def check(made, tolerance):
    """Prefill, decode, a mixed batch, and long enough for several pages."""
    for spans in [((0, 0, 24),), ((0, 2, 3),), ((0, 3, 4), (1, 0, 17), (2, 5, 6)), ((2, 0, 24), (1, 4, 5))]:
        ours, theirs = made.step(*spans)
        np.testing.assert_allclose(ours, theirs, **tolerance)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "width", "values"),
    [(2, 2, 8, 8), (4, 2, 16, 24), (6, 1, 20, 20), (7, 1, 16, 40), (16, 1, 16, 16)],
)
def test_groups_and_widths(pair, generator, heads, kv_heads, width, values) -> None:
    check(open_attention(pair, generator, heads, kv_heads, width, values), NEAR_F16)


def test_float32_cache(pair, generator) -> None:
    check(open_attention(pair, generator, 4, 2, 16, kv_type="f32"), NEAR_F32)


@pytest.mark.parametrize(("width", "values"), [(16, 24), (40, 64)])
def test_int8_cache(pair, generator, width, values) -> None:
    """Off by half a step of 127 at most, before the softmax."""
    check(open_attention(pair, generator, 4, 2, width, values, kv_type="q8_0"), {"rtol": 3e-2, "atol": 3e-2})


@pytest.mark.parametrize("window", [1, 5, 20])
def test_window(pair, generator, window) -> None:
    check(open_attention(pair, generator, 4, 2, 16, kv_type="f32", window=window), NEAR_F32)


def test_softcap_and_sinks(pair, generator) -> None:
    check(open_attention(pair, generator, 4, 2, 16, kv_type="f32", softcap=3.0, sinks=True), NEAR_F32)


def test_stale_pages_are_not_seen(pair, generator) -> None:
    """Memory that a page held before, NaN even, weighs nothing."""
    made = open_attention(pair, generator, 4, 2, 16)
    for keys, values in made.cpu._storage._pages.values():
        keys.view(np.float16)[:] = np.nan
        values.view(np.float16)[:] = np.nan
    ours, theirs = made.step((0, 0, 5), (1, 3, 20))
    np.testing.assert_allclose(ours, theirs, **NEAR_F16)


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_nan_reaches_the_rows_that_see_it_and_no_other(pair, generator, kv_type) -> None:
    rows_of_x = rows(generator, 16)
    rows_of_x[7] = np.nan

    def body(b, i):
        cache = b.kv_cache(1, 16)
        b.kv_append(i["x"], i["x"], cache)
        return b.attend(i["x"], cache, 1, scale=0.25)

    made = pair({"x": rows_of_x}, {}, body, kv_type=kv_type)
    ours = np.concatenate([made.step((0, first, first + 1))[0] for first in range(10)])
    assert np.isfinite(ours[:7]).all()
    assert np.isnan(ours[7:]).all()


@pytest.mark.parametrize("kv_type", ["f32", "f16"])
@pytest.mark.parametrize("window", [None, 1, 5, 20])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (7, 1), (16, 2)])
def test_canvases_beside_text(pair, generator, heads, kv_heads, window, kv_type) -> None:
    """Canvases of one row and of more than a tile, at a page's start and within one, before and after text."""
    made = open_attention(pair, generator, heads, kv_heads, 16, kv_type=kv_type, window=window)
    made.step((0, 0, 24), (1, 3, 10))
    near = NEAR_F32 if kv_type == "f32" else NEAR_F16
    for spans, canvases in [
        (((0, 5, 22),), [1]),
        (((1, 2, 3), (0, 0, 24), (2, 4, 9)), [0, 1, 1]),
        (((3, 1, 2), (0, 7, 8), (1, 0, 16)), [0, 0, 1]),
    ]:
        np.testing.assert_allclose(*made.refine(*spans, canvases=canvases), **near)
