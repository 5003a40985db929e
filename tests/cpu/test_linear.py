"""Products with every kind of weights against numpy, on every instruction set that runs here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.gguf import dequantize
from jackfield.program import Buffer, Weight
from jackfield.program.ops import Linear
from jackfield.testing.blocks import encode
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.isa import Isa
from jackfield_backends.cpu.linear import lower_linears
from jackfield_backends.cpu.workbench import Workbench

pytestmark = pytest.mark.jit
F32 = npt.NDArray[np.float32]

ROUNDING = 1e-2
"""Share of the results' range: activations are rounded to 8 bits."""
EXACT = 1e-5
"""The same for plain floats: sums in another order."""
COUNTS = (1, 2, 3, 5, 12, 13, 18, 31)
KINDS = {"signed": "Q8_0", "minima": "Q4_K", "halves": "Q6_K", "offset": "MXFP4", "floats": "F16"}


@dataclass
class Tensor:
    """A matrix in a block format."""

    type_name: str
    shape: tuple[int, int]
    data: npt.NDArray[np.uint8]


@pytest.fixture(params=["avx512", "avx2", "portable"])
def chosen(request) -> Iterator[Isa]:
    """Put an instruction set in force; where it does not run, the best takes its place."""
    isa.use(Isa(request.param) if request.param in isa.available() else None)
    yield isa.current()
    isa.use(None)


def products(type_name: str, num_rows: int, width: int, counts=COUNTS) -> tuple[F32, dict[int, F32]]:
    """Return what numpy says for the most tokens, and what kernels say for each number of them."""
    generator = np.random.default_rng(3)
    data = encode(generator.standard_normal((num_rows, width)).astype(np.float32), type_name, generator)
    values = dequantize(type_name, data, num_rows * width).reshape(num_rows, width)
    x, out = Buffer(0, width), Buffer(1, num_rows)
    op = Linear(x, Weight("w", (num_rows, width)), None, None, out)
    tensor = Tensor(type_name, (num_rows, width), data)
    bench = Workbench(lambda lowering: lower_linears(lowering, [op]), [x, out], {"w": tensor}, max(counts), 2)
    rows = generator.standard_normal((max(counts), width)).astype(np.float32)
    bench.rows(x)[: max(counts)] = rows
    found = {}
    for count in counts:
        bench.run(count)
        found[count] = bench.rows(out)[:count].copy()
    bench.close()
    return rows @ values.T, found


def assert_near(found: F32, expected: F32, tolerance: float) -> None:
    assert float(np.abs(found - expected[: len(found)]).max()) <= tolerance * float(np.ptp(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_tokens_gives_what_numpy_gives(chosen: Isa, kind: str) -> None:
    width = 771 if kind == "floats" else 768
    expected, found = products(KINDS[kind], 37, width)
    for made in found.values():
        assert_near(made, expected, EXACT if kind == "floats" else ROUNDING)


@pytest.mark.parametrize("kind", ["signed", "minima", "halves", "offset"])
def test_a_token_gets_the_same_bits_among_few_and_the_same_among_many(chosen: Isa, kind: str) -> None:
    _, found = products(KINDS[kind], 37, 768, (1, 2, 3, 4, 5, 12, 13, 18, 31))
    for count, made in found.items():
        many = max(found) if count > in_force().max_singles else 1
        np.testing.assert_array_equal(made[: len(found[many])], found[many][:count])


@pytest.mark.parametrize("largest", ["Q4_0", "Q5_0"])
def test_sums_in_sixteen_bits_never_overflow(largest: str) -> None:
    """The greatest quants times the greatest activations, all of one sign."""
    width, num_rows = 512, 17
    data = np.tile(np.frombuffer(EXTREME[largest], np.uint8), num_rows * width // 32)
    values = dequantize(largest, data, num_rows * width).reshape(num_rows, width)
    x, out = Buffer(0, width), Buffer(1, num_rows)
    op = Linear(x, Weight("w", (num_rows, width)), None, None, out)
    tensor = Tensor(largest, (num_rows, width), data)
    bench = Workbench(lambda lowering: lower_linears(lowering, [op]), [x, out], {"w": tensor}, 31)
    for sign in (1, -1):
        bench.rows(x)[:31] = sign
        for count in (1, 4, 31):
            bench.run(count)
            np.testing.assert_allclose(
                bench.rows(out)[:count], np.full((count, width), sign) @ values.T, rtol=1e-5
            )
    bench.close()


ONE = np.float16(1).tobytes()
EXTREME = {"Q4_0": ONE + b"\xff" * 16, "Q5_0": ONE + b"\xff" * 20}
"""A block of the greatest quants, under a scale of one."""


def test_no_tokens_are_no_work() -> None:
    expected, found = products("Q8_0", 16, 64, (0, 3))
    assert found[0].shape == (0, 16)
    assert_near(found[3], expected, ROUNDING)
