"""Convolution, scan and delta rule: a token gets the same bits however a prompt is cut, with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from jackfield.program import Activation

pytestmark = pytest.mark.jit

ROWS = 40


def rows(generator, width):
    return generator.standard_normal((ROWS, width)).astype(np.float32)


def convolution(pair, generator, **limits):
    weights = {"w": rows(generator, 4)[:1].repeat(150, axis=0), "bias": rows(generator, 150)[0]}

    def body(b, i):
        state = b.conv_state(4, 150)
        return b.conv1d(
            i["x"], b.weight("w", 150, 4), state, b.weight("bias", 150), activation=Activation.SILU
        )

    return pair({"x": rows(generator, 150)}, weights, body, **limits)


def scan(pair, generator, **limits):
    """Rows and columns that are no multiples of what is taken at once, and more than a stretch of rows."""
    inputs = {
        "x": rows(generator, 2 * 39),
        "b": rows(generator, 37),
        "c": rows(generator, 37),
        "dt": rows(generator, 2),
    }
    weights = {name: -np.abs(rows(generator, 2)[0]) for name in ("a", "d", "dt")}

    def body(b, i):
        state = b.recurrent_state(2, 39, 37)
        a, d, bias = b.weight("a", 2), b.weight("d", 2), b.weight("dt", 2)
        return b.ssm_scan(i["x"], i["b"], i["c"], i["dt"], state, a=a, d=d, dt_bias=bias, groups=1)

    return pair(inputs, weights, body, **limits)


def delta(pair, generator, **limits):
    """Two stretches of columns and a rest."""
    inputs = {
        "q": rows(generator, 24) / 5, "k": rows(generator, 24) / 5, "v": rows(generator, 2 * 150),
        "g": -np.abs(rows(generator, 2)), "beta": np.abs(rows(generator, 2)) % 1,
    }  # fmt: skip

    def body(b, i):
        state = b.recurrent_state(2, 24, 150)
        return b.delta_rule(
            i["q"], i["k"], i["v"], i["g"], i["beta"], state, scale=0.5, num_key_heads=1, tiled=False
        )

    return pair(inputs, {}, body, **limits)


@pytest.mark.parametrize("open_op", [convolution, scan, delta])
def test_chunks_company_and_threads_do_not_change_a_bit(pair, generator, open_op) -> None:
    made = open_op(pair, generator)
    whole, expected = made.step((0, 0, ROWS))
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-4)
    other = open_op(pair, np.random.default_rng(0), num_threads=3)
    chunks = [
        other.step((1, 0, 17))[0],
        *(other.step((1, t, t + 1), (2, 5, 8))[0][:1] for t in range(17, 23)),
    ]
    chunks.append(other.step((3, 0, 2), (1, 23, ROWS))[0][2:])
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
