"""Products with every kind of weights against numpy, on every instruction set; what this machine lacks, written out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.gguf import BLOCK_FORMATS, dequantize
from jackfield.program import Buffer, Weight
from jackfield.program.ops import Linear
from jackfield.testing.blocks import encode
from jackfield_backends.cpu.isa import Isa, available
from jackfield_backends.cpu.linear import lower_linears
from jackfield_backends.cpu.workbench import Workbench

pytestmark = pytest.mark.jit
F32 = npt.NDArray[np.float32]

ROUNDING = 1e-2
"""Share of the results' range: activations are rounded to 8 bits."""
EXACT = 1e-5
"""The same where they need no rounding: sums in another order."""
COUNTS = (1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 18, 30, 31)
SMALL = {"signed": "Q8_0", "minima": "Q5_1", "halves": "NVFP4", "offset": "MXFP4", "lookup": "IQ4_NL"}
LARGE = {"halves with minima": "Q2_K", "grid": "IQ2_XXS"}
KINDS = dict.fromkeys(Isa, SMALL)
KINDS[Isa.AVX512] = {**SMALL, **LARGE}
KINDS[available()[0]] = {**SMALL, "minima": "Q4_K", "halves": "Q6_K", **LARGE}
"""A format of each kind; those of 256 columns a block, which take long to compile, where they tell something new."""
BLOCKS = [
    pytest.param(isa, type_name, id=f"{isa}-{kind}-{type_name}")
    for isa, kinds in KINDS.items()
    for kind, type_name in kinds.items()
]
FLOATS = [pytest.param(isa, "F16", id=f"{isa}-floats") for isa in Isa]
FLOATS += [pytest.param(available()[0], name, id=f"{available()[0]}-{name}") for name in ("BF16", "F32")]


def on_every_set(cases):
    return pytest.mark.parametrize(("every_isa", "type_name"), cases, indirect=["every_isa"])


@dataclass
class Tensor:
    """A matrix in a block format."""

    type_name: str
    shape: tuple[int, int]
    data: npt.NDArray[np.uint8]


def exact_rows(generator: np.random.Generator, count: int, width: int) -> F32:
    """Return rows of whole numbers that 8 bits hold without rounding: the greatest of any 32 is 127."""
    rows = generator.integers(-127, 128, (count, width))
    rows[:, ::32] = generator.choice([-127, 127], rows[:, ::32].shape)
    return rows.astype(np.float32)


def odd_width(type_name: str) -> int:
    """Return the columns of an odd number of blocks."""
    columns = BLOCK_FORMATS[type_name].block_elements
    return columns * (768 // columns | 1)


def random_rows(generator: np.random.Generator, count: int, width: int) -> F32:
    return generator.standard_normal((count, width)).astype(np.float32)


def products(
    type_name: str, num_rows: int, width: int, counts=COUNTS, make_rows=exact_rows
) -> tuple[F32, dict[int, F32]]:
    """Return what numpy says for the most tokens, and what kernels say for each number of them."""
    generator = np.random.default_rng(3)
    data = encode(generator.standard_normal((num_rows, width)).astype(np.float32), type_name, generator)
    values = dequantize(type_name, data, num_rows * width).reshape(num_rows, width)
    x, out = Buffer(0, width), Buffer(1, num_rows)
    op = Linear(x, Weight("w", (num_rows, width)), None, None, out)
    tensor = Tensor(type_name, (num_rows, width), data)
    bench = Workbench(lambda lowering: lower_linears(lowering, [op]), [x, out], {"w": tensor}, max(counts), 2)
    rows = make_rows(np.random.default_rng(4), max(counts), width)
    bench.rows(x)[: max(counts)] = rows
    found = {}
    for count in counts:
        bench.run(count)
        found[count] = bench.rows(out)[:count].copy()
    bench.close()
    return rows @ values.T, found


def assert_near(found: F32, expected: F32, tolerance: float) -> None:
    assert float(np.abs(found - expected[: len(found)]).max()) <= tolerance * float(np.ptp(expected))


@on_every_set([*BLOCKS, *FLOATS])
def test_any_number_of_tokens_gives_what_numpy_gives(every_isa: Isa, type_name: str) -> None:
    expected, found = products(type_name, 37, odd_width(type_name))
    for made in found.values():
        assert_near(made, expected, EXACT)


@on_every_set([*BLOCKS, *FLOATS])
def test_a_token_gets_the_same_bits_among_any_number_of_tokens(every_isa: Isa, type_name: str) -> None:
    expected, found = products(type_name, 37, odd_width(type_name), make_rows=random_rows)
    most = found[max(found)]
    for count, made in found.items():
        assert_near(made, expected, ROUNDING)
        np.testing.assert_array_equal(made, most[:count])


@on_every_set(FLOATS)
def test_a_row_gets_the_same_bits_among_any_number_of_rows(every_isa: Isa, type_name: str) -> None:
    """Rows far from each other are multiplied together; a few rows leave some of these places empty."""
    _, many = products(type_name, 37, 301, make_rows=random_rows)
    for num_rows in (1, 2, 3, 6):
        _, few = products(type_name, num_rows, 301, make_rows=random_rows)
        for count, made in few.items():
            np.testing.assert_array_equal(made, many[count][:, :num_rows])


@on_every_set([*((isa, "Q8_0") for isa in Isa), (Isa.AVX2, "Q4_0"), (Isa.AVX2, "Q5_0")])
def test_no_sum_overflows_or_saturates(every_isa: Isa, type_name: str) -> None:
    """The greatest quants times the greatest activations, all of one sign; only AVX2 adds in sixteen bits."""
    width, num_rows = 512, 17
    data = np.tile(np.frombuffer(EXTREME[type_name], np.uint8), num_rows * width // 32)
    values = dequantize(type_name, data, num_rows * width).reshape(num_rows, width)
    x, out = Buffer(0, width), Buffer(1, num_rows)
    op = Linear(x, Weight("w", (num_rows, width)), None, None, out)
    tensor = Tensor(type_name, (num_rows, width), data)
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
EXTREME = {"Q8_0": ONE + b"\x80" * 32, "Q4_0": ONE + b"\xff" * 16, "Q5_0": ONE + b"\xff" * 20}
"""A block of the greatest quants, under a scale of one."""


def test_no_tokens_are_no_work() -> None:
    expected, found = products("Q8_0", 16, 64, (0, 3))
    assert found[0].shape == (0, 16)
    assert_near(found[3], expected, EXACT)
