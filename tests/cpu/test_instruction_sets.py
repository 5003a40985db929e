"""What differs between instruction sets outside of products: shapes of tiles, orders of sums, float16.

Sets that this machine lacks are written out. The best one it has runs in every other test, so it is left out here.
"""

from __future__ import annotations

import numpy as np
import pytest

from jackfield.program import GluKind
from jackfield.testing.blocks import encode
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.isa import Isa

pytestmark = pytest.mark.jit

ROWS = 24


def on_sets(*sets: Isa):
    others = [each for each in sets if each is not isa.available()[0]]
    return pytest.mark.parametrize("every_isa", others or sets, indirect=True)


def rows(generator, width, scale=1.0):
    return (scale * generator.standard_normal((ROWS, width))).astype(np.float32)


@on_sets(Isa.AVX512, Isa.AVX2, Isa.PORTABLE)  # NEON's tiles are AVX2's
def test_attention(pair, generator, every_isa: Isa) -> None:
    """Groups of five heads: in passes of a few rows, whatever the registers hold."""
    heads, width = 5, 32
    inputs = {"q": rows(generator, heads * width), "k": rows(generator, width), "v": rows(generator, width)}

    def body(b, i):
        cache = b.kv_cache(1, width)
        b.kv_append(i["k"], i["v"], cache)
        return b.attend(i["q"], cache, heads, scale=width**-0.5)

    made = pair(inputs, {}, body, isa=str(isa.target()))
    for spans in (((0, 0, 24),), ((0, 2, 3),), ((0, 3, 4), (1, 0, 17))):
        ours, theirs = made.step(*spans)
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)


@on_sets(Isa.AVX512)  # all others have the same stretches
def test_delta_rule(pair, generator, every_isa: Isa) -> None:
    """Columns of two stretches and a rest."""
    inputs = {
        "q": rows(generator, 24) / 5, "k": rows(generator, 24) / 5, "v": rows(generator, 150),
        "g": -np.abs(rows(generator, 1)), "beta": np.abs(rows(generator, 1)) % 1,
    }  # fmt: skip

    def body(b, i):
        state = b.recurrent_state(1, 24, 150)
        names = ("q", "k", "v", "g", "beta")
        return b.delta_rule(*(i[name] for name in names), state, scale=0.5, num_key_heads=1, tiled=False)

    made = pair(inputs, {}, body, isa=str(isa.target()))
    np.testing.assert_allclose(*made.step((0, 0, 24)), rtol=1e-4, atol=1e-4)


@on_sets(Isa.AVX512, Isa.NEON)
@pytest.mark.parametrize("type_name", ["MXFP4", "Q8_0"])
def test_experts(pair, block_tensor, generator, every_isa: Isa, type_name: str) -> None:
    """Groups of one row, of a few and of many; what the gate lets through is rounded for the product after it."""
    experts, width, inner = 5, 64, 96
    sizes = {"gate": (inner, width), "up": (inner, width), "down": (width, inner)}
    tensors = []
    for name, shape in sizes.items():
        values = generator.standard_normal((experts, *shape)).astype(np.float32) / 8
        data = encode(values, type_name, generator)
        tensors.append(block_tensor(name, (experts, *shape), type_name, data))

    def body(b, i):
        chosen, shares = b.route_top_k(i["logits"], 2)
        matrices = {name: b.weight(name, experts, *shape) for name, shape in sizes.items()}
        return b.expert_feed_forward(i["x"], chosen, shares, **matrices, kind=GluKind.SILU)

    inputs = {"x": rows(generator, width), "logits": rows(generator, experts, 2.0)}
    made = pair(inputs, {}, body, isa=str(isa.target()), tensors=tensors)
    for spans in (((0, 0, 24),), ((0, 2, 3),), ((0, 3, 4), (1, 0, 6))):
        ours, theirs = made.step(*spans)
        assert np.abs(ours - theirs).max() <= 2e-2 * np.ptp(theirs)  # rounded to 8 bits, twice
