"""The quantised copies of activations that products read."""

from __future__ import annotations

import numpy as np
import pytest

from jackfield.program import Buffer
from jackfield_backends.cpu.isa import Isa
from jackfield_backends.cpu.quantize import (
    BLOCK,
    RECORD_BYTES,
    RECORD_D,
    activation_bytes,
    lower_quantize,
)
from jackfield_backends.cpu.tile import TILE
from jackfield_backends.cpu.workbench import Workbench

pytestmark = pytest.mark.jit
BLOCKS = 3
SUBNORMAL = np.uint32(1)


@pytest.mark.parametrize("num_rows", [4, 14])
def test_slots_of_a_tile_without_a_row_have_scales_of_zero_whatever_lay_there(
    every_isa: Isa, num_rows: int
) -> None:
    scales = fields_of(quantized(num_rows), -(-num_rows // TILE), RECORD_BYTES, RECORD_D, TILE)
    assert (scales[:num_rows] > 1 / 127).all()
    assert len(scales) > num_rows
    assert (scales[num_rows:] == 0).all()


def quantized(num_rows: int) -> np.ndarray:
    """Return the copy of so many rows, made where every word was a subnormal number."""
    width = BLOCKS * BLOCK
    place = np.full(activation_bytes(width, num_rows) // 4, SUBNORMAL)
    x = Buffer(0, width)
    bench = Workbench(lambda lowering: lower_quantize(lowering, x, place.ctypes.data), [x], {}, num_rows)
    bench.rows(x)[:num_rows] = 1 + np.random.default_rng(0).random((num_rows, width))
    bench.run(num_rows)
    bench.close()
    return place


def fields_of(place: np.ndarray, count: int, record_bytes: int, at: int, length: int) -> np.ndarray:
    """Return [slot, block] of a field that is ``length`` floats of every record."""
    words = record_bytes // 4
    records = place[: count * BLOCKS * words].view(np.float32).reshape(count, BLOCKS, words)
    return records[:, :, at // 4 : at // 4 + length].swapaxes(1, 2).reshape(count * length, BLOCKS)
