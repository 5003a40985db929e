"""What the backend says of itself and of a program, plugin ops, and steps it must refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest

from jackfield.backend import Limits
from jackfield.descriptors import OpDescriptor
from jackfield.errors import BackendError
from jackfield.host import Host
from jackfield.program import Buffer, Inputs, Op
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.backend import CpuBackend
from jackfield_backends.cpu.kernel import arg, kernel, load_i64
from jackfield_backends.cpu.lowering import Lowering
from jackfield_backends.cpu.simd import load_f32, store_f32

pytestmark = pytest.mark.jit
LIMITS = Limits(num_pages=4, page_size=16, max_rows=16, max_outputs=8, max_sequences=2, max_context=32)


@dataclass(frozen=True)
class Reverse(Op):
    """``out = x`` with its columns in reverse: an op that only has a numpy meaning."""

    x: Buffer
    out: Buffer


@dataclass(frozen=True)
class Negate(Op):
    """``out = -x``: an op that brings a kernel."""

    x: Buffer
    out: Buffer


def reverse(op: Reverse, inputs: Inputs) -> None:
    inputs.write(op.out, inputs.read(op.x)[:, ::-1])


def negate(op: Negate, inputs: Inputs) -> None:
    raise AssertionError("the kernel must run")


@kernel
def negate_rows(args: int, thread: int, num_threads: int) -> None:
    for t in range(thread, load_i64(arg(args, 0)), num_threads):
        for i in range(arg(args, 1)):
            value = load_f32(arg(args, 2) + t * arg(args, 3) + 4 * i)
            store_f32(arg(args, 4) + t * arg(args, 5) + 4 * i, -value)


def lower_negate(lowering: Lowering, op: Negate) -> None:
    lowering.call(
        negate_rows, lowering.num_rows_cell(op.x.rows), op.x.width, lowering.address(op.x),
        lowering.row_bytes(op.x), lowering.address(op.out), lowering.row_bytes(op.out),
    )  # fmt: skip


def declared(kind: type[Op], meaning: str, **kernels: str) -> OpDescriptor:
    place = f"{__name__}:{kind.__name__}"
    return OpDescriptor(
        name=kind.__name__,
        summary="",
        factory=place,
        reference=f"{__name__}:{meaning}",
        kernels=tuple(kernels.items()),
    )


def with_ops(program, *descriptors: OpDescriptor):
    return replace(program, plugin_ops={d.load(): d for d in descriptors})


@pytest.fixture
def table(generator) -> np.ndarray:
    return generator.standard_normal((6, 40)).astype(np.float32)


@pytest.fixture
def small(make, table):
    """Return a small program and its tensors."""
    return make({"x": table}, {}, lambda b, i: b.rms_norm(i["x"], None, 1e-3))


def own_op(b, x: Buffer, kind: type[Op]) -> Buffer:
    out = b.buffer(x.width)
    b.append(kind(x, out))
    return out


def test_plugin_ops_run_between_native_ones(pair, table) -> None:
    def body(b, i) -> Buffer:
        x = b.scale(i["x"], 2.0)
        return b.scale(own_op(b, own_op(b, x, Reverse), Negate), 3.0)

    descriptors = [declared(Reverse, "reverse"), declared(Negate, "negate", cpu=f"{__name__}:lower_negate")]
    made = pair({"x": table}, {}, body, plugin_ops=descriptors)
    np.testing.assert_allclose(made.cpu.step(made.steps.make((0, 1, 5))), -6 * table[1:5, ::-1], rtol=1e-6)


@pytest.mark.parametrize(("kv_type", "near"), [("f32", 1e-5), ("f16", 2e-3), ("q8_0", 3e-2)])
def test_a_plugins_numpy_op_sees_state_and_cache(pair, table, kv_type, near) -> None:
    def body(b, i) -> Buffer:
        cache, state = b.kv_cache(1, 20, 20), b.conv_state(3, 40)
        own_append(b, i["x"], cache) if kv_type == "f16" else b.kv_append(
            b.columns(i["x"], 0, 20), b.columns(i["x"], 20, 20), cache
        )
        out = b.buffer(40)
        b.append(Memory(i["x"], cache, state, out))
        return out

    made = pair(
        {"x": table},
        {},
        body,
        plugin_ops=[declared(Memory, "remember"), declared(Store, "store")],
        kv_type=kv_type,
    )
    first = made.cpu.step(made.steps.make((1, 0, 2))).copy()
    second = made.cpu.step(made.steps.make((0, 4, 5), (1, 2, 4))).copy()
    np.testing.assert_allclose(first[-1], table[:2].sum(0) + 2, rtol=near, atol=near)
    np.testing.assert_allclose(second[0], table[4] + 1, rtol=near, atol=near)
    np.testing.assert_allclose(second[-1], table[:4].sum(0) + 4, rtol=near, atol=near)


def own_append(b, x: Buffer, cache: object) -> None:
    b.append(Store(x, cache))


@dataclass(frozen=True)
class Store(Op):
    """Write both halves of the columns to the cache, through numpy."""

    x: Buffer
    cache: object


def store(op: Store, inputs: Inputs) -> None:
    keys, values = np.split(inputs.read(op.x), 2, axis=1)
    inputs.append(op.cache, keys, values)


@dataclass(frozen=True)
class Memory(Op):
    """Sum what the cache and a counting state hold of each row's sequence."""

    x: Buffer
    cache: object
    state: object
    out: Buffer


def remember(op: Memory, inputs: Inputs) -> None:
    positions, sequences = inputs.positions(op.x.rows), inputs.sequences(op.x.rows)
    out = np.empty_like(inputs.read(op.x))
    for t, (position, sequence) in enumerate(zip(positions, sequences, strict=True)):
        state = inputs.state(op.state, int(sequence))
        state += 1
        keys, values = inputs.cached(op.cache, int(sequence), int(position) + 1)
        out[t] = np.hstack([keys.sum(0).ravel(), values.sum(0).ravel()]) + state[0]
    inputs.write(op.out, out)


def test_an_op_without_a_kernel_is_named(small) -> None:
    program, tensors = small
    foreign = replace(program, ops=(*program.ops, Reverse(program.logits, Buffer(99, 40))))
    assert "no kernel for op Reverse" in (CpuBackend().cannot_run(foreign, tensors) or "")
    with pytest.raises(BackendError, match="no kernel for op Reverse; use --backend reference"):
        CpuBackend().open(foreign, tensors, LIMITS)
    assert CpuBackend().cannot_run(program, tensors) is None


def test_a_block_format_without_a_kernel_is_named(make, table) -> None:
    program, tensors = make({"x": table}, {"w": np.zeros((8, 40), np.float32)}, product)
    odd = {**tensors, "w": Renamed(tensors["w"], "I16")}
    assert "cannot read tensor 'w' of type I16" in (CpuBackend().cannot_run(program, odd) or "")


def product(b, i) -> Buffer:
    return b.linear(i["x"], b.weight("w", 8, 40))


@dataclass(frozen=True)
class Renamed:
    """A tensor that claims another type."""

    tensor: object
    type_name: str

    def __getattr__(self, name: str) -> object:
        return getattr(self.tensor, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kv_type": "q3"}, "cannot store keys and values as 'q3'; use one of: f16, f32, q8_0"),
        ({"page_size": 24}, "page size 24 is not a multiple of 16"),
    ],
)
def test_limits_it_cannot_keep_are_refused(small, change: Mapping[str, object], message: str) -> None:
    with pytest.raises(BackendError, match=message):
        CpuBackend().open(*small, replace(LIMITS, **change))


def test_a_step_outside_its_limits_is_refused_before_any_memory_is_touched(pair, table) -> None:
    made = pair({"x": table}, {}, lambda b, i: b.scale(i["x"], 2.0), max_rows=4, max_outputs=2)
    good = made.steps.make((0, 0, 2))
    wide = np.zeros((1, 99), np.int32)
    for change, message in [
        ({"tokens": np.array([0, 6], np.int32)}, "a token of 6, expected 0 to 5"),
        ({"tokens": np.array([0, -1], np.int32)}, "a token of -1, expected 0 to 5"),
        ({"positions": np.array([0, 96], np.int32)}, "a position of 96"),
        ({"page_table": np.array([[24]], np.int32)}, "a page of 24, expected 0 to 23"),
        ({"page_table": wide}, "99 pages a sequence"),
        ({"output_rows": np.array([2], np.int32)}, "an output row of 2|a output row of 2"),
        ({"output_rows": np.array([0, 1, 1], np.int32)}, "3 output rows, more than the 2"),
        ({"state_slots": np.array([7], np.int32)}, "a state slot of 7"),
    ]:
        with pytest.raises(BackendError, match=message):
            made.cpu.step(replace(good, **change))
    np.testing.assert_allclose(made.cpu.step(good), 2 * table[:2], rtol=1e-6)


def test_the_estimate_is_what_opening_takes(make, table) -> None:
    def body(b, i) -> Buffer:
        cache, state = b.kv_cache(2, 10), b.conv_state(4, 40)
        b.kv_append(b.columns(i["x"], 0, 20), b.columns(i["x"], 20, 20), cache)
        b.conv1d(i["x"], b.weight("taps", 40, 4), state)
        return b.attend(b.columns(i["x"], 0, 40), cache, 4, scale=1.0)

    program, tensors = make({"x": table}, {"taps": np.ones((40, 4), np.float32)}, body)
    limits = replace(LIMITS, num_state_slots=3, num_threads=2)
    estimate = CpuBackend().estimate(program, tensors, limits)
    assert estimate.mapped_bytes == 4 * (table.size + 160)
    assert estimate.kv_bytes == 4 * 16 * 2 * 20 * 2
    assert estimate.state_bytes == 3 * 4 * (3 * 40) + 3 * 32  # a slot is whole cache lines
    opened = CpuBackend().open(program, tensors, limits)
    taken = opened._memory.num_bytes
    opened.close()
    assert abs(taken - estimate.resident_bytes) <= 0.02 * taken + 65536


def test_it_describes_itself(pair, table) -> None:
    made = pair({"x": table}, {}, lambda b, i: b.scale(i["x"], 2.0), num_threads=2)
    facts = made.cpu.describe()
    assert facts["instruction set"] == str(isa.target())
    assert facts["threads"] == "2"
    assert set(facts) >= {"processor", "kernels", "kernel cache", "memory"}


def test_it_is_available_and_preferred_among_what_is_always_there() -> None:
    assert CpuBackend().unavailable() is None
    assert "no instruction set named 'sse'" in (CpuBackend("sse").unavailable() or "")
    found = {descriptor.name: descriptor.preference for descriptor in Host().backends()}
    assert found["cpu"] > 0 > found["reference"]


def test_pages_and_states_are_copied_and_cleared(pair, table) -> None:
    def body(b, i) -> Buffer:
        cache, state = b.kv_cache(1, 40), b.conv_state(2, 40)
        b.kv_append(i["x"], i["x"], cache)
        x = b.conv1d(i["x"], b.weight("taps", 40, 2), state)
        return b.add(x, b.attend(i["x"], cache, 1, scale=0.1))

    made = pair({"x": table}, {"taps": np.ones((40, 2), np.float32)}, body)
    made.step((0, 0, 4))
    for executable in (made.cpu, made.reference):
        executable.copy_page(0, 1)  # the first page of sequence 0 to that of sequence 1
        executable.copy_state(0, 1)
        executable.clear_state(2)
    made.steps.lengths[1] = 4
    ours, theirs = made.step((0, 4, 6), (1, 4, 6), (2, 1, 2))
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(ours[:2], ours[2:4])
    made.cpu.clear_state(0)
    cleared = made.cpu.step(made.steps.make((0, 1, 2)))
    assert not np.allclose(cleared, ours[1:2])


def test_hidden_rows_are_those_of_the_last_step(pair, table) -> None:
    made = pair({"x": table}, {}, lambda b, i: b.scale(i["x"], 2.0))
    made.step((0, 0, 5), outputs=[1, 3])
    np.testing.assert_allclose(made.cpu.hidden(), 2 * table[[1, 3]], rtol=1e-6)


def test_a_step_without_outputs_returns_no_rows(pair, table) -> None:
    made = pair({"x": table}, {}, lambda b, i: b.rms_norm(i["x"], None, 0.1))
    ours, _ = made.step((0, 0, 5), outputs=[])
    assert ours.shape == (0, 40)
