"""Routed experts of plain floats; those in block formats are in ``test_instruction_sets.py``."""

from __future__ import annotations

import numpy as np
import pytest

from jackfield.program import GluKind
from jackfield.testing.blocks import encode

pytestmark = pytest.mark.jit

NUM_ROWS = 40
EXPERTS, WIDTH, INNER = 4, 75, 41
SIZES = {"gate": (INNER, WIDTH), "up": (INNER, WIDTH), "down": (WIDTH, INNER)}


def test_a_row_gets_the_same_bits_in_a_group_of_any_size(pair, block_tensor, generator) -> None:
    """All rows at once make groups of tiles, four rows groups of a few, and a row groups of one."""
    values = {name: generator.standard_normal((EXPERTS, *shape)) / 8 for name, shape in SIZES.items()}
    tensors = [
        block_tensor(name, array.shape, "F16", encode(array.astype(np.float32), "F16", generator))
        for name, array in values.items()
    ]

    def body(b, i):
        chosen, shares = b.route_top_k(i["logits"], 2)
        matrices = {name: b.weight(name, EXPERTS, *shape) for name, shape in SIZES.items()}
        return b.expert_feed_forward(i["x"], chosen, shares, **matrices, kind=GluKind.SILU)

    inputs = {
        "x": generator.standard_normal((NUM_ROWS, WIDTH)).astype(np.float32),
        "logits": generator.standard_normal((NUM_ROWS, EXPERTS)).astype(np.float32),
    }
    made = pair(inputs, {}, body, tensors=tensors)
    ours, theirs = made.step((0, 0, NUM_ROWS))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    for start, stop in ((0, 1), (5, 9), (7, 20)):
        np.testing.assert_array_equal(made.step((0, start, stop))[0], ours[start:stop])
