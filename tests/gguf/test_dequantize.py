"""Every block format means what the gguf package says, to the last bit."""

from __future__ import annotations

import warnings

import gguf
import numpy as np
import pytest
from gguf import quants

from jackfield.errors import CheckpointError
from jackfield.gguf import BLOCK_FORMATS, dequantize

ORACLE_LACKS = {"Q1_0", "Q2_0", "I8", "I16", "I32", "I64", "F64"}
SHARED = sorted(BLOCK_FORMATS.keys() - ORACLE_LACKS)


def random_blocks(type_name: str, num_blocks: int) -> np.ndarray:
    form = BLOCK_FORMATS[type_name]
    seed = np.random.default_rng(form.type_id)
    return seed.integers(0, 256, num_blocks * form.block_bytes, dtype=np.uint8)


@pytest.mark.parametrize("type_name", SHARED)
def test_dequantised_random_bytes_equal_the_oracle_bit_for_bit(type_name: str) -> None:
    data = random_blocks(type_name, 3000)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = quants.dequantize(data.reshape(100, -1), gguf.GGMLQuantizationType[type_name]).reshape(-1)
    actual = dequantize(type_name, data, expected.size)
    assert actual.dtype == np.float32
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[finite].view(np.uint32), expected[finite].view(np.uint32))
    np.testing.assert_array_equal(actual[~finite], expected[~finite])


