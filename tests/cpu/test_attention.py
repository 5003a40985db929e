"""Attention over pages against the reference: groups, widths, windows, sinks, prefill and decode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from jackfield.backend import Limits, Step
from jackfield_backends.cpu.attention_tiles import SHARE, SMALLEST_PART, most_part_size, part_size
from jackfield_backends.cpu.backend import CpuBackend
from jackfield_backends.reference.backend import ReferenceBackend

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
    [(2, 2, 8, 8), (4, 2, 16, 24), (6, 1, 20, 20), (7, 1, 16, 40), (16, 1, 16, 16), (4, 4, 72, 144)],
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


# ---- the same bits, whatever the step ------------------------------------------------------------

LONG = 2 * SMALLEST_PART + 70  # three parts
LONG_LIMITS = Limits(
    num_pages=4 * -(-LONG // 32), page_size=32, max_rows=LONG, max_outputs=64, max_sequences=4, max_context=LONG,
    kv_type="f32",
)  # fmt: skip
Opener = Callable[..., "Sequences"]


class Sequences:
    """Long sequences of one open program; token t of each is row t of the inputs."""

    def __init__(self, executable) -> None:
        self._executable = executable
        self.lengths: dict[int, int] = {}

    def feed(self, outputs: int, **counts: int) -> np.ndarray:
        """Go on with each sequence (``s0`` to ``s3``) and return the last rows of the first."""
        names = [int(name[1:]) for name in counts]
        starts = [self.lengths.get(name, 0) for name in names]
        ranges = [np.arange(s, s + c) for s, c in zip(starts, counts.values(), strict=True)]
        for name, span in zip(names, ranges, strict=True):
            self.lengths[name] = int(span[-1]) + 1
        pages = LONG_LIMITS.num_pages // 4
        step = Step(
            tokens=np.concatenate(ranges).astype(np.int32),
            positions=np.concatenate(ranges).astype(np.int32),
            row_starts=np.cumsum([0, *counts.values()], dtype=np.int32),
            page_table=np.array([[4 * i + name for i in range(pages)] for name in names], np.int32),
            state_slots=np.zeros(len(names), np.int32),
            output_rows=np.arange(len(ranges[0]) - outputs, len(ranges[0]), dtype=np.int32),
        )
        return self._executable.step(step).copy()


@pytest.fixture
def open_long(make, generator) -> Iterator[Opener]:
    """Return what opens attention over long sequences: ``open_long(backend, heads, kv_heads, **options)``."""
    inputs = {
        "q": generator.standard_normal((LONG, 96)), "k": generator.standard_normal((LONG, 32)),
        "v": generator.standard_normal((LONG, 48)),
    }  # fmt: skip
    weights = {"sinks": generator.standard_normal(6).astype(np.float32)}
    with ExitStack() as stack:

        def opener(backend, heads: int, kv_heads: int, *, window=None, **limits: object) -> Sequences:
            def body(b, i):
                cache = b.kv_cache(kv_heads, 16, 24, window)
                b.kv_append(b.columns(i["k"], 0, 16 * kv_heads), b.columns(i["v"], 0, 24 * kv_heads), cache)
                sinks = b.weight("sinks", 6) if heads == 6 else None
                q = b.columns(i["q"], 0, 16 * heads)
                return b.attend(q, cache, heads, scale=0.5, sinks=sinks, window=window)

            program, tensors = make(inputs, weights, body)
            executable = backend.open(program, tensors, replace(LONG_LIMITS, **limits))
            stack.callback(executable.close)
            return Sequences(executable)

        yield opener


CASES = [(6, 2, None), (2, 2, 600), (2, 1, 70)]
ENDS = 40


def last_rows(sequences: Sequences, *chunks: int) -> np.ndarray:
    """Return the last rows of sequence 0, fed in chunks; what is left of them is fed at once."""
    for chunk in chunks:
        sequences.feed(1, s0=chunk)
    return sequences.feed(ENDS, s0=LONG - sum(chunks))


@pytest.mark.parametrize(("heads", "kv_heads", "window"), CASES)
def test_parts_give_what_the_reference_gives(open_long, heads, kv_heads, window) -> None:
    ours = open_long(CpuBackend(), heads, kv_heads, window=window, num_threads=2)
    theirs = open_long(ReferenceBackend(), heads, kv_heads, window=window)
    np.testing.assert_allclose(last_rows(ours), last_rows(theirs), **NEAR_F32)


@pytest.mark.parametrize(("heads", "kv_heads", "window"), CASES)
def test_chunks_and_threads_do_not_change_a_bit(open_long, heads, kv_heads, window) -> None:
    """Chunks that end within a block, at a part and between; one token at a time across the border of two parts."""
    expected = last_rows(open_long(CpuBackend(), heads, kv_heads, window=window))
    for threads, chunks in (
        (2, (SMALLEST_PART - 3, *[1] * 6, 300)),
        (5, (1, 511, 129)),
        (3, (LONG - ENDS - 4, 4)),
    ):
        found = last_rows(
            open_long(CpuBackend(), heads, kv_heads, window=window, num_threads=threads), *chunks
        )
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("heads", "kv_heads", "window"), CASES)
def test_steps_and_company_do_not_change_a_bit(open_long, heads, kv_heads, window) -> None:
    """The last rows one by one, alone or beside others that prefill or decode, as in one prefill."""
    expected = last_rows(open_long(CpuBackend(), heads, kv_heads, window=window))
    sequences = open_long(CpuBackend(), heads, kv_heads, window=window, num_threads=2)
    sequences.feed(1, s0=LONG - ENDS)
    company = [{}, {"s1": 40}, {"s1": 1, "s2": 30}, {"s1": 1, "s2": 1, "s3": 1}]
    found = [sequences.feed(1, s0=1, **company[i % 4]) for i in range(ENDS)]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_parts_are_few_and_follow_from_the_position_alone() -> None:
    for position in (0, 511, 8191, 8192, 100_000, 2**20 - 1):
        size = part_size(position, position, 0)
        assert size % SMALLEST_PART == 0
        assert position // size < SHARE
        assert size <= most_part_size(position + 1)
        assert part_size(position, position, 1024) == SMALLEST_PART
