"""Every block format means what the gguf package says, to the last bit."""

from __future__ import annotations

import struct

import gguf
import numpy as np
import pytest
from gguf import quants

from jackfield.errors import CheckpointError
from jackfield.gguf import BLOCK_FORMATS, dequantize
from jackfield.gguf.blocks import REFUSED_TYPES, format_of_type

NOT_IN_GGUF = {"Q1_0", "Q2_0", "I8", "I16", "I32", "I64", "F64"}  # the package has no meaning for these
SHARED = sorted(BLOCK_FORMATS.keys() - NOT_IN_GGUF)


def random_bytes(type_name: str, num_blocks: int) -> np.ndarray:
    form = BLOCK_FORMATS[type_name]
    generator = np.random.default_rng(form.type_id)
    return generator.integers(0, 256, num_blocks * form.block_bytes, dtype=np.uint8)


@pytest.mark.parametrize("type_name", SHARED)
def test_random_bytes_mean_what_the_gguf_package_says(type_name: str) -> None:
    data = random_bytes(type_name, 3000)
    with np.errstate(all="ignore"):
        expected = quants.dequantize(data.reshape(100, -1), gguf.GGMLQuantizationType[type_name]).reshape(-1)
    actual = dequantize(type_name, data, expected.size)
    assert actual.dtype == np.float32
    assert actual.shape == (3000 * BLOCK_FORMATS[type_name].block_elements,)
    is_number = ~np.isnan(expected)
    np.testing.assert_array_equal(actual[is_number].view(np.uint32), expected[is_number].view(np.uint32))
    assert np.isnan(actual[~is_number]).all()


@pytest.mark.parametrize("type_name", SHARED)
def test_sizes_are_those_of_the_gguf_package(type_name: str) -> None:
    form = BLOCK_FORMATS[type_name]
    assert form.type_id == gguf.GGMLQuantizationType[type_name]
    assert (form.block_elements, form.block_bytes) == gguf.GGML_QUANT_SIZES[
        gguf.GGMLQuantizationType[type_name]
    ]


def test_q1_0_is_the_scale_with_the_sign_of_each_bit() -> None:
    data = struct.pack("<e16B", 1.5, 0b10110001, *[0] * 15)
    values = dequantize("Q1_0", np.frombuffer(data, np.uint8), 128)
    assert values[:8].tolist() == [1.5, -1.5, -1.5, -1.5, 1.5, 1.5, -1.5, 1.5]
    assert (values[8:] == -1.5).all()


def test_q2_0_is_the_scale_times_two_bits_less_one() -> None:
    data = struct.pack("<e16B", 0.5, 0b11_10_01_00, *[0b01_01_01_01] * 15)
    values = dequantize("Q2_0", np.frombuffer(data, np.uint8), 64)
    assert values[:4].tolist() == [-0.5, 0.0, 0.5, 1.0]
    assert (values[4:] == 0).all()


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "f8"])
def test_plain_numbers_are_converted(dtype: str) -> None:
    numbers = np.array([0, 1, -1, 100], dtype=f"<{dtype}")
    name = f"{dtype[0].upper()}{8 * int(dtype[1])}"
    assert dequantize(name, numbers.view(np.uint8), 4).tolist() == [0, 1, -1, 100]


def test_float64_beyond_float32_becomes_infinite_without_a_warning() -> None:
    data = np.array([1e300, -1e300]).view(np.uint8)
    assert dequantize("F64", data, 2).tolist() == [np.inf, -np.inf]


def test_a_tensor_of_many_chunks_equals_its_pieces() -> None:
    data = random_bytes("Q4_K", 2500)  # 640,000 elements, more than two chunks
    whole = dequantize("Q4_K", data, 2500 * 256)
    pieces = [dequantize("Q4_K", block, 256) for block in data.reshape(2500, -1)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))


def test_no_elements_give_an_empty_array() -> None:
    assert dequantize("Q8_0", np.empty(0, np.uint8), 0).shape == (0,)


@pytest.mark.parametrize(("size", "num_elements"), [(33, 32), (35, 32), (34, 31), (0, 32), (68, 32)])
def test_bytes_that_are_not_whole_blocks_are_refused(size: int, num_elements: int) -> None:
    with pytest.raises(CheckpointError, match=f"{size} bytes of Q8_0 are not {num_elements} elements"):
        dequantize("Q8_0", np.zeros(size, np.uint8), num_elements)


def test_an_unknown_format_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(CheckpointError, match=r"'Q8_O'\. Did you mean 'Q8_0'"):
        dequantize("Q8_O", np.zeros(4, np.uint8), 1)


def test_every_type_id_up_to_42_is_read_or_refused_with_a_reason() -> None:
    for type_id in range(43):
        assert (format_of_type(type_id) is None) == (type_id in REFUSED_TYPES)
    assert format_of_type(43) is None
