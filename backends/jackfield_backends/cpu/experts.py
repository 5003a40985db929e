"""Routed experts: rows grouped by expert, then the same products as everywhere.

    out[t] = Σ_j w[t, j] * (scale[e] * (down[e] @ glu(gate[e] @ x[t], up[e] @ x[t])) + bias[e]),   e = experts[t, j]

A row and one of its experts are a *pair*. Pairs are sorted by expert; those of one expert are a *group*, whose
inputs lie together as the activation of so many rows. Every product goes over the groups only: bytes of experts
that nobody chose are not read, and a chosen expert is read once however many rows chose it. The sum goes in rank
order, so a row's result does not depend on what else is in the step.

Calls: group (one thread) · gather · gate and up · glu · down · sum. Work space, reused by all layers: the tables of
``group``, a slab of inputs (later of gated units), and rows of products. At one row the pairs are groups of one, and
the bytes of the chosen experts are the time it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jackfield.errors import BackendError
from jackfield.program import Weight
from jackfield.program.ops import ExpertFeedForward, GluKind
from jackfield_backends.cpu.atomic import take
from jackfield_backends.cpu.elementwise import gated, relu2, store_up_to
from jackfield_backends.cpu.grouping import (
    GROUP_BYTES,
    GROUPS,
    NUM_GROUPS,
    PLACES,
    SOURCES,
    group,
    group_of,
)
from jackfield_backends.cpu.kernel import arg, kernel, kernel_family, load_i64, routine, store_i64
from jackfield_backends.cpu.linear import (
    BIAS,
    NUM_ROWS,
    OUT,
    OUT_STEP,
    RESIDUAL,
    SCALE,
    SCRATCH_TARGET,
    copy_bytes,
    multiply_chunk,
    reads_activation,
    recipe_of,
    rows_of_chunk,
    scratch_bytes,
)
from jackfield_backends.cpu.linear_float import FEW_FLOAT_TOKENS
from jackfield_backends.cpu.linear_float_panels import tile_row
from jackfield_backends.cpu.memory import aligned
from jackfield_backends.cpu.quantize import (
    BLOCK,
    quantize_block,
    quantize_row,
    slot_bytes,
)
from jackfield_backends.cpu.simd import fma, load_f32, load_f32x16, splat
from jackfield_backends.cpu.tile import TILE

if TYPE_CHECKING:
    from jackfield_backends.cpu.lowering import Lowering

__all__ = ["lower_experts"]

COLUMNS = 256  # columns of a unit of summing


# ---- inputs of groups ----------------------------------------------------------------------------


@kernel
def gather(args: int, thread: int, num_threads: int) -> None:
    """Quantise rows into groups: rows cell, experts a row, x, its step, blocks, activation, tables, slab, slot bytes.

    A single row is quantised already, as each of its groups wants it.
    """
    num_rows, x, step, num_blocks = load_i64(arg(args, 0)), arg(args, 2), arg(args, 3), arg(args, 4)
    tables, slot_bytes = arg(args, 6), arg(args, 8)
    pairs = num_rows * arg(args, 1)
    for pair in range(pairs * thread // num_threads, pairs * (thread + 1) // num_threads):
        entry, t = group_of(tables, pair), load_i64(arg(tables, SOURCES) + 8 * pair)
        i, slab = pair - arg(entry, 1), arg(args, 7) + arg(entry, 3) * slot_bytes
        if num_rows == 1:
            copy_bytes(slab, arg(args, 5), slot_bytes)
        else:
            quantize_row(x + t * step, slab, arg(entry, 2), i, num_blocks, 0, num_blocks)


@kernel
def gather_floats(args: int, thread: int, num_threads: int) -> None:
    """Copy rows into groups: rows cell, experts a row, x, its step, columns, nothing, tables, slab, slot bytes."""
    x, step, width = arg(args, 2), arg(args, 3), arg(args, 4)
    tables, slot_bytes = arg(args, 6), arg(args, 8)
    pairs = load_i64(arg(args, 0)) * arg(args, 1)
    for pair in range(pairs * thread // num_threads, pairs * (thread + 1) // num_threads):
        entry, t = group_of(tables, pair), load_i64(arg(tables, SOURCES) + 8 * pair)
        put_floats(
            x + t * step,
            width,
            arg(args, 7) + arg(entry, 3) * slot_bytes,
            arg(entry, 2),
            pair - arg(entry, 1),
        )


@routine
def put_floats(row: int, width: int, slab: int, count: int, i: int) -> None:
    """Copy a row to where products with plain floats read it: row i of ``count``."""
    if count <= FEW_FLOAT_TOKENS:
        copy_bytes(slab + 4 * width * i, row, 4 * width)
    else:
        tile_row(row, width, slab, i)


# ---- products ------------------------------------------------------------------------------------


@kernel
def expert_linear(args: int, thread: int, num_threads: int) -> None:
    """Multiply groups by their experts' matrices.

    Counter, tables, matrices, bytes a matrix, slab, slot bytes, input's step, scratch cells, out, its step, biases,
    bytes an expert's, scales, recipe.
    """
    tables, recipe = arg(args, 1), args + 8 * RECIPE_WORD
    scratch = load_i64(arg(args, 7)) + thread * load_i64(arg(args, 7) + 8)
    target = scratch + SCRATCH_TARGET
    store_i64(target + 8 * OUT_STEP, arg(args, 9))
    store_i64(target + 8 * RESIDUAL, 0)
    num_rows = arg(recipe, NUM_ROWS)
    entry, size, passed = arg(tables, GROUPS) - GROUP_BYTES, 1, 0
    last = entry + GROUP_BYTES * arg(tables, NUM_GROUPS)
    chunks = 0
    unit = take(arg(args, 0), 1)
    while True:
        while unit >= passed + chunks:
            if entry == last:
                return
            entry += GROUP_BYTES
            passed += chunks
            size = rows_of_chunk(recipe, arg(entry, 2))
            chunks = (num_rows + size - 1) // size
        expert, start = arg(entry, 0), (unit - passed) * size
        store_i64(target + 8 * OUT, arg(args, 8) + arg(entry, 1) * arg(args, 9))
        store_i64(target + 8 * BIAS, arg(args, 10) + expert * arg(args, 11) if arg(args, 10) else 0)
        store_i64(target + 8 * SCALE, arg(args, 12) + 4 * expert if arg(args, 12) else 0)
        matrix = arg(args, 2) + expert * arg(args, 3)
        x = arg(args, 4) + arg(entry, 3) * arg(args, 5)
        multiply_chunk(
            recipe,
            target,
            matrix,
            start,
            min(start + size, num_rows),
            arg(entry, 2),
            x,
            arg(args, 6),
            scratch,
        )
        unit = take(arg(args, 0), 1)


RECIPE_WORD = 13  # its first word among the arguments of ``expert_linear``


@routine
def _only_up(gate: Any, up: Any) -> Any:
    return relu2(up)


@kernel_family
def expert_glu(kind: str, is_float: int) -> Callable[[int, int, int], None]:
    """Gate: rows cell, experts a row, products, their step, columns, bytes from gate to up, tables, slab, its slots."""
    unit_of = _only_up if kind == GluKind.RELU2 else gated(GluKind(kind))

    def quantized(args: int, thread: int, num_threads: int) -> None:
        num_blocks = arg(args, 4) // BLOCK
        tables, slot_bytes = arg(args, 6), arg(args, 8)
        units = load_i64(arg(args, 0)) * arg(args, 1) * num_blocks
        for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
            pair, block = unit // num_blocks, unit % num_blocks
            entry = group_of(tables, pair)
            gate = arg(args, 2) + pair * arg(args, 3) + 4 * BLOCK * block
            up = gate + arg(args, 5)
            first = unit_of(load_f32x16(gate), load_f32x16(up))
            second = unit_of(load_f32x16(gate + 64), load_f32x16(up + 64))
            slab = arg(args, 7) + arg(entry, 3) * slot_bytes
            quantize_block(first, second, slab, arg(entry, 2), pair - arg(entry, 1), num_blocks, block)

    def floats(args: int, thread: int, num_threads: int) -> None:
        width, tables, slot_bytes = arg(args, 4), arg(args, 6), arg(args, 8)
        pairs = load_i64(arg(args, 0)) * arg(args, 1)
        for pair in range(pairs * thread // num_threads, pairs * (thread + 1) // num_threads):
            entry = group_of(tables, pair)
            gate = arg(args, 2) + pair * arg(args, 3)
            # in place: vectors may run past the columns, into ``up``'s, which are read before that
            for i in range(0, 4 * width, 64):
                store_up_to(
                    gate + i,
                    unit_of(load_f32x16(gate + i), load_f32x16(gate + i + arg(args, 5))),
                    width - i // 4,
                )
            slab = arg(args, 7) + arg(entry, 3) * slot_bytes
            put_floats(gate, width, slab, arg(entry, 2), pair - arg(entry, 1))

    return floats if is_float else quantized


@kernel
def weighted_sum(args: int, thread: int, num_threads: int) -> None:
    """Sum a row's products: rows cell, experts a row, products, their step, weights, their step, out, its step,
    columns, tables.
    """
    k, products, step, width = arg(args, 1), arg(args, 2), arg(args, 3), arg(args, 8)
    places = arg(arg(args, 9), PLACES)
    parts = (width + COLUMNS - 1) // COLUMNS
    units = load_i64(arg(args, 0)) * parts
    for unit in range(units * thread // num_threads, units * (thread + 1) // num_threads):
        t, start = unit // parts, unit % parts * COLUMNS
        weights, out = arg(args, 4) + t * arg(args, 5), arg(args, 6) + t * arg(args, 7)
        for i in range(start, min(start + COLUMNS, width), 16):
            total = splat(load_f32(weights)) * load_f32x16(
                products + load_i64(places + 8 * t * k) * step + 4 * i
            )
            for j in range(1, k):
                product = load_f32x16(products + load_i64(places + 8 * (t * k + j)) * step + 4 * i)
                total = fma(product, splat(load_f32(weights + 4 * j)), total)
            store_up_to(out + 4 * i, total, width - i)


# ---- lowering ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Space:
    """The work space of one op: offsets of its parts, and the distance of a pair's products."""

    tables: tuple[int, ...]
    slab: int
    products: int
    step: int
    num_bytes: int


def lower_experts(lowering: Lowering, op: ExpertFeedForward) -> None:
    """Append the calls of routed experts."""
    _Experts(lowering, op).lower()


class _Experts:
    """Lowers one op."""

    def __init__(self, lowering: Lowering, op: ExpertFeedForward) -> None:
        self.lowering, self.op = lowering, op
        self.cell, self.k = lowering.num_rows_cell(op.x.rows), op.experts.width
        self.num_experts, self.width, self.inner = op.down.shape
        self.inputs = [weight for weight in (op.gate_up, op.gate, op.up) if weight is not None]
        self.has_gate = op.gate is not None or op.gate_up is not None
        space = self._make_space()
        base = lowering.derived(op.experts, space.num_bytes, lambda place: None)
        self.tables = lowering.constant(np.array([0, *(base + at for at in space.tables)], np.int64))
        self.slab, self.products, self.step = base + space.slab, base + space.products, space.step

    def lower(self) -> None:
        """Append the calls."""
        op, lowering = self.op, self.lowering
        shared = (self.cell, self.k)
        self._gather()
        self._lower_inputs()
        lowering.call(
            expert_glu(op.kind.value, int(self._is_float(op.down))), *shared, self.products, self.step, self.inner,
            4 * self.inner if self.has_gate else 0, self.tables, self.slab, self._slot_bytes(op.down),
        )  # fmt: skip
        self._product(op.down, 0, self._vector(op.down_bias), self._vector(op.down_scale))
        lowering.call(
            weighted_sum, *shared, self.products, self.step,
            lowering.address(op.expert_weights), lowering.row_bytes(op.expert_weights),
            lowering.address(op.out), lowering.row_bytes(op.out), self.width, self.tables,
        )  # fmt: skip

    def _gather(self) -> None:
        op, lowering = self.op, self.lowering
        kinds = {self._is_float(weight) for weight in self.inputs}
        if len(kinds) > 1:
            names = ", ".join(f"{w.name!r} {lowering.tensor(w).type_name}" for w in self.inputs)
            raise BackendError(f"experts' gate and up must both be quantised or both plain floats: {names}")
        is_float = kinds.pop()
        place = 0 if is_float else lowering.activation(op.x)
        chosen, step = lowering.address(op.experts), lowering.row_bytes(op.experts)
        lowering.call(group, self.cell, self.k, chosen, step, self.num_experts, self.tables)
        lowering.call(
            gather_floats if is_float else gather, self.cell, self.k, lowering.address(op.x), lowering.row_bytes(op.x),
            op.x.width if is_float else op.x.width // BLOCK, place, self.tables, self.slab,
            self._slot_bytes(self.inputs[0]),
        )  # fmt: skip

    def _lower_inputs(self) -> None:
        """Append gate's and up's products, side by side in a pair's row."""
        biases = [self.op.gate_bias] if self.has_gate else []
        biases.append(self.op.up_bias)
        if self.op.gate_up is not None:
            self._product(self.op.gate_up, 0, self._joined(biases), 0)
            return
        for i, (weight, bias) in enumerate(zip(self.inputs, biases, strict=True)):
            self._product(weight, 4 * self.inner * i, self._vector(bias), 0)

    def _product(self, weight: Weight, column_bytes: int, bias: int, scale: int) -> None:
        lowering = self.lowering
        tensor = lowering.tensor(weight)
        _, num_rows, width = weight.shape
        recipe = recipe_of(tensor, width, num_rows, lowering.limits.num_threads)
        lowering.call(
            expert_linear,
            lowering.counter(),
            self.tables,
            tensor.address,
            num_rows * tensor.row_bytes,
            self.slab,
            self._slot_bytes(weight),
            self._slot_bytes(weight),
            lowering.thread_scratch(scratch_bytes(recipe)),
            self.products + column_bytes,
            self.step,
            bias,
            4 * num_rows,
            scale,
            *recipe,
        )

    def _vector(self, weight: Weight | None) -> int:
        return 0 if weight is None else self.lowering.vector(weight)

    def _joined(self, biases: Sequence[Weight | None]) -> int:
        """Return the address of gate's and up's biases as those of one matrix."""
        if all(bias is None for bias in biases):
            return 0
        zeros = np.zeros((self.num_experts, self.inner), np.float32)
        parts = [
            zeros if bias is None else self.lowering.floats(bias).reshape(zeros.shape) for bias in biases
        ]
        return self.lowering.constant(np.hstack(parts))

    def _is_float(self, weight: Weight) -> bool:
        return not reads_activation(self.lowering.tensor(weight).type_name)

    def _slot_bytes(self, weight: Weight) -> int:
        width = weight.shape[2]
        return 4 * width if self._is_float(weight) else slot_bytes(width)

    def _make_space(self) -> _Space:
        pairs = self.lowering.max_rows(self.op.x.rows) * self.k
        slots = pairs + (TILE - 1) * min(self.num_experts, pairs)  # groups are padded
        at, tables = 0, []
        for size in (GROUP_BYTES * self.num_experts, 8 * self.num_experts, *[8 * pairs] * 3):
            tables.append(at)
            at += aligned(size)
        slot_bytes = max(self._slot_bytes(weight) for weight in (*self.inputs, self.op.down))
        step = aligned(4 * max(self.inner * (2 if self.has_gate else 1), self.width))
        products = at + aligned(slots * slot_bytes)
        return _Space(tuple(tables), at, products, step, products + step * (pairs + 1))
