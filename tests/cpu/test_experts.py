"""Rows in groups of every size; what experts compute is in ``test_instruction_sets.py`` for block formats."""

from __future__ import annotations

import numpy as np
import pytest

from jackfield.program import GluKind
from jackfield.testing.blocks import encode
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.isa import Isa

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


def test_groups_of_any_size_lie_apart(pair, block_tensor, generator, every_isa: Isa) -> None:
    """Two experts take rows in turn: were a group's inputs longer than its place, the other's would be spoilt."""
    width, most = 512, 7
    values = generator.standard_normal((3, 2, width, width)).astype(np.float32) / 16
    tensors = [
        block_tensor(name, (2, width, width), "Q8_0", encode(array, "Q8_0", generator))
        for name, array in zip(SIZES, values, strict=True)
    ]

    def body(b, i):
        chosen, shares = b.route_top_k(i["logits"], 1)
        matrices = {name: b.weight(name, 2, width, width) for name in SIZES}
        return b.expert_feed_forward(i["x"], chosen, shares, **matrices, kind=GluKind.SILU)

    turns = np.tile(np.eye(2, dtype=np.float32), (most, 1))
    inputs = {"x": generator.standard_normal((2 * most, width)).astype(np.float32), "logits": turns}
    made = pair(inputs, {}, body, isa=str(isa.target()), tensors=tensors)
    alone = np.concatenate([made.step((0, row, row + 1))[0] for row in range(2 * most)])
    assert np.isfinite(alone).all()
    for size in range(1, most + 1):
        np.testing.assert_array_equal(made.step((0, 0, 2 * size))[0], alone[: 2 * size])
