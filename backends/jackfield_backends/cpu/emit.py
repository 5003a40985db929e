"""Values of code being written: LLVM values with operators, so that generators read like what they write.

A generator is a plain Python function from values to values. Loops in it unroll; functions in it inline.
Integers are shifted logically; everything else follows the element type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

__all__ = [
    "F16",
    "F32",
    "F64",
    "I1",
    "I8",
    "I16",
    "I32",
    "I64",
    "VOID",
    "Totals",
    "Value",
    "bits_of",
    "call",
    "constant",
    "data_address",
    "function",
    "join",
    "lanes_of",
    "loop",
    "reserve",
    "stack_bytes",
    "store_masked",
    "summed",
    "vector_of",
    "zeros",
]

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
VOID = ir.VoidType()
FLOAT_BITS = {F16: 16, F32: 32, F64: 64}
Element = Any
NAMES = {F16: "f16", F32: "f32", I8: "i8", I16: "i16", I32: "i32", I64: "i64"}


def lanes_of(element: Element, count: int) -> Any:
    """Return the type of ``count`` lanes; the element itself for one."""
    return element if count == 1 else ir.VectorType(element, count)


class Value:
    """An LLVM value and the builder that made it."""

    __slots__ = ("b", "v")

    def __init__(self, builder: Any, value: Any) -> None:
        self.b = builder
        self.v = value

    # ---- types ----

    @property
    def type(self) -> Any:
        """The LLVM type."""
        return self.v.type

    @property
    def element(self) -> Element:
        """The type of a lane."""
        return self.type.element if isinstance(self.type, ir.VectorType) else self.type

    @property
    def count(self) -> int:
        """The number of lanes."""
        return self.type.count if isinstance(self.type, ir.VectorType) else 1

    @property
    def is_float(self) -> bool:
        """Whether lanes are floating point."""
        return not isinstance(self.element, ir.IntType)

    @property
    def suffix(self) -> str:
        """The type as overloaded LLVM intrinsics spell it."""
        return f"v{self.count}{NAMES[self.element]}" if self.count > 1 else NAMES[self.element]

    def new(self, value: Any) -> Value:
        """Wrap another value of the same builder."""
        return Value(self.b, value)

    def constant(self, value: float | Sequence[float]) -> Value:
        """Return a constant of this value's type."""
        return constant(self.b, self.element, value, self.count)

    def _fit(self, other: Value | float | Sequence[int]) -> Any:
        if not isinstance(other, Value):
            return self.constant(other).v
        return other.splat(self.count).v if other.count < self.count else other.v

    # ---- operators ----

    def _apply(self, other: Value | float, integer: str, floating: str) -> Value:
        if isinstance(other, Value) and other.count > self.count:
            return self.splat(other.count)._apply(other, integer, floating)
        return self.new(getattr(self.b, floating if self.is_float else integer)(self.v, self._fit(other)))

    def __add__(self, other: Value | float) -> Value:
        return self._apply(other, "add", "fadd")

    def __sub__(self, other: Value | float) -> Value:
        return self._apply(other, "sub", "fsub")

    def __mul__(self, other: Value | float) -> Value:
        return self._apply(other, "mul", "fmul")

    def __truediv__(self, other: Value | float) -> Value:
        return self._apply(other, "sdiv", "fdiv")

    def __rsub__(self, other: float) -> Value:
        return self.constant(other) - self

    def __rtruediv__(self, other: float) -> Value:
        return self.constant(other) / self

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Value:
        return self.new(self.b.fneg(self.v) if self.is_float else self.b.neg(self.v))

    def __and__(self, other: Value | int | Sequence[int]) -> Value:
        return self.new(self.b.and_(self.v, self._fit(other)))

    def __or__(self, other: Value | int) -> Value:
        return self.new(self.b.or_(self.v, self._fit(other)))

    def __xor__(self, other: Value | int) -> Value:
        return self.new(self.b.xor(self.v, self._fit(other)))

    def __lshift__(self, amount: Value | int | Sequence[int]) -> Value:
        return self.new(self.b.shl(self.v, self._amount(amount)))

    def __rshift__(self, amount: Value | int | Sequence[int]) -> Value:
        return self.new(self.b.lshr(self.v, self._amount(amount)))

    def _amount(self, amount: Value | int | Sequence[int]) -> Any:
        return self._fit(amount) if isinstance(amount, Value) else self.constant(amount).v

    def compare(self, how: str, other: Value | float) -> Value:
        """Return lanes of bits; NaN compares false, integers are signed."""
        ask = self.b.fcmp_ordered if self.is_float else self.b.icmp_signed
        return self.new(ask(how, self.v, self._fit(other)))

    def below(self, other: Value | int) -> Value:
        """Compare unsigned integers."""
        return self.new(self.b.icmp_unsigned("<", self.v, self._fit(other)))

    def choose(self, then: Value, other: Value | float) -> Value:
        """Select per lane of bits: ``then`` where set."""
        return then.new(self.b.select(self.v, then.v, then._fit(other)))

    def fma(self, factor: Value | float, addend: Value) -> Value:
        """Return ``self * factor + addend``, fused where the processor fuses."""
        arguments = [self, self.new(self._fit(factor)), addend]
        return call(self.b, f"llvm.fmuladd.{self.suffix}", self.type, arguments)

    def function(self, name: str) -> Value:
        """Return ``llvm.<name>`` of every lane, such as ``sqrt``, ``fabs`` or ``rint``."""
        return call(self.b, f"llvm.{name}.{self.suffix}", self.type, [self])

    # ---- shapes and conversions ----

    def splat(self, count: int) -> Value:
        """Return ``count`` lanes of this scalar."""
        if self.count > 1 or count == 1:
            return self
        kind = ir.VectorType(self.type, count)
        first = self.b.insert_element(ir.Constant(kind, ir.Undefined), self.v, ir.Constant(I32, 0))
        return self.new(first).lanes([0] * count)

    def lanes(self, indices: Iterable[int], other: Value | None = None) -> Value:
        """Return the lanes numbered, of this value and then of ``other``."""
        mask = list(indices)
        second = ir.Constant(self.type, ir.Undefined) if other is None else other.v
        return self.new(
            self.b.shuffle_vector(self.v, second, ir.Constant(ir.VectorType(I32, len(mask)), mask))
        )

    def lane(self, i: int) -> Value:
        """Return one lane."""
        return self.new(self.b.extract_element(self.v, ir.Constant(I32, i)))

    def bits(self, element: Element) -> Value:
        """Return the same bits as lanes of another element."""
        have = FLOAT_BITS.get(self.element) or self.element.width
        want = FLOAT_BITS.get(element) or element.width
        return self.new(self.b.bitcast(self.v, lanes_of(element, self.count * have // want)))

    def signed(self, element: Element) -> Value:
        """Convert numerically; integers are signed."""
        return self._convert(element, "sext", "sitofp")

    def unsigned(self, element: Element) -> Value:
        """Convert numerically; integers are unsigned."""
        return self._convert(element, "zext", "uitofp")

    def _convert(self, element: Element, widen: str, from_integer: str) -> Value:
        if self.element == element:
            return self
        if self.is_float and element in FLOAT_BITS:
            name = "fptrunc" if FLOAT_BITS[element] < FLOAT_BITS[self.element] else "fpext"
        elif self.is_float:
            name = "fptosi"
        elif isinstance(element, ir.IntType):
            name = widen if element.width > self.element.width else "trunc"
        else:
            name = from_integer
        return self.new(getattr(self.b, name)(self.v, lanes_of(element, self.count)))

    def fold(self, combine: Any) -> Value:
        """Reduce to one lane by halves, in an order that is the same everywhere."""
        value = self
        while value.count > 1:
            half = value.count // 2
            value = combine(value.lanes(range(half)), value.lanes(range(half, value.count)))
            if half == 1:
                return value.lane(0)
        return value

    def total(self) -> Value:
        """Return the sum of the lanes."""
        return self.fold(lambda x, y: x + y)

    # ---- memory: the value is an address ----

    def load(self, element: Element, count: int = 1, offset: int = 0) -> Value:
        """Read lanes at this address plus ``offset`` bytes, of any alignment."""
        return self.new(self.b.load(self.pointer(lanes_of(element, count), offset), align=1))

    def store(self, value: Value, offset: int = 0) -> None:
        """Write lanes at this address plus ``offset`` bytes."""
        self.b.store(value.v, self.pointer(value.type, offset), align=1)

    def prefetch(self, offset: int = 0, level: int = 1) -> None:
        """Ask for a cache line: into level 1, or only into level 2."""
        kind = ir.FunctionType(VOID, [I8.as_pointer(), I32, I32, I32])
        locality = {1: 3, 2: 2}[level]
        constants = [ir.Constant(I32, x) for x in (0, locality, 1)]
        self.b.call(function(self.b, "llvm.prefetch.p0", kind), [self.pointer(I8, offset), *constants])

    def pointer(self, kind: Any, offset: int = 0) -> Any:
        """Return LLVM's pointer to ``kind`` at this address plus ``offset`` bytes.

        Addresses are integers, and LLVM may write one as null plus an offset. It then takes for granted that nothing is
        there, and has deleted stores, unless the function says that null is an address like any other.
        """
        set.add(self.b.function.attributes, "null_pointer_is_valid")  # llvmlite does not list it
        return self.b.inttoptr((self + offset).v if offset else self.v, kind.as_pointer())


def constant(builder: Any, element: Element, value: float | Sequence[float], count: int = 1) -> Value:
    """Return a constant of ``count`` lanes, all alike or listed."""
    if count == 1:
        return Value(builder, ir.Constant(element, value))
    listed = list(value) if isinstance(value, Sequence) else [value] * count
    return Value(builder, ir.Constant(ir.VectorType(element, count), listed))


def zeros(builder: Any, element: Element, count: int) -> Value:
    """Return lanes of zero."""
    return constant(builder, element, 0.0 if element in (F16, F32) else 0, count)


def call(builder: Any, name: str, result: Any, arguments: Sequence[Value]) -> Value:
    """Call an LLVM intrinsic or a function of the C library."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return Value(builder, builder.call(function(builder, name, kind), [argument.v for argument in arguments]))


def function(builder: Any, name: str, kind: Any) -> Any:
    """Return a function of that name and type, declared in the module if it is not."""
    found = builder.module.globals.get(name)
    return ir.Function(builder.module, kind, name) if found is None else found


def reserve(builder: Any, kind: Any, count: int = 1) -> Any:
    """Return a pointer to memory for ``count`` values, the function's while it runs; LLVM makes registers of it."""
    with builder.goto_entry_block():
        pointer = builder.alloca(kind, size=ir.Constant(I64, count))
        builder.store(ir.Constant(kind, None), pointer)
    return pointer


@contextmanager
def loop(stop: Value, start: Value | int = 0, step: Value | int = 1) -> Iterator[Value]:
    """Repeat what is written inside, for the values from ``start`` to below ``stop``."""
    builder = stop.b
    before = builder.basic_block
    asks, body, after = (builder.append_basic_block(f"loop.{part}") for part in ("asks", "body", "after"))
    builder.branch(asks)
    builder.position_at_end(asks)
    i = stop.new(builder.phi(stop.type))
    builder.cbranch(i.compare("<", stop).v, body, after)
    builder.position_at_end(body)
    yield i
    i.v.add_incoming(stop._fit(start), before)
    i.v.add_incoming(builder.add(i.v, stop._fit(step), flags=["nsw"]), builder.basic_block)
    builder.branch(asks)
    builder.position_at_end(after)


def vector_of(scalars: Sequence[Value]) -> Value:
    """Return scalars as the lanes of a vector."""
    builder, kind = scalars[0].b, ir.VectorType(scalars[0].type, len(scalars))
    vector = ir.Constant(kind, ir.Undefined)
    for i, scalar in enumerate(scalars):
        vector = builder.insert_element(vector, scalar.v, ir.Constant(I32, i))
    return Value(builder, vector)


def bits_of(word: Value) -> Value:
    """Return the bits of an integer as lanes, the lowest first."""
    return word.new(word.b.bitcast(word.v, ir.VectorType(ir.IntType(1), word.type.width)))


def data_address(builder: Any, name: str, data: bytes) -> Value:
    """Return the address of constant bytes that lie in the module."""
    module = builder.module
    if name not in module.globals:
        kind = ir.ArrayType(I8, len(data))
        table = ir.GlobalVariable(module, kind, name)
        table.linkage, table.global_constant, table.align = "internal", True, 64
        table.initializer = ir.Constant(kind, bytearray(data))
    return Value(builder, builder.ptrtoint(module.globals[name], I64))


def join(low: Value, high: Value) -> Value:
    """Return the lanes of two values of one type side by side."""
    return low.lanes(range(2 * low.count), high)


def stack_bytes(like: Value, count: int) -> Value:
    """Return the address of bytes on the stack, at a cache line: vectors that cross one cost twice."""
    with like.b.goto_entry_block():
        array = like.b.alloca(ir.ArrayType(I8, count))
    array.align = 64
    return like.new(like.b.ptrtoint(array, like.type))


def summed(values: Sequence[Value]) -> Value:
    """Return the sum of some values, a power of two of them, in the order in which ``total`` adds lanes."""
    while len(values) > 1:
        half = len(values) // 2
        values = [low + high for low, high in zip(values[:half], values[half:], strict=True)]
    return values[0]


class Totals:
    """Values that a loop of generated code adds to; LLVM keeps them in registers."""

    def __init__(self, starts: Sequence[Value]) -> None:
        self._builder = starts[0].b
        self._cells = [reserve(self._builder, start.type) for start in starts]
        for i, start in enumerate(starts):
            self.set(i, start)

    def set(self, i: int, value: Value) -> None:
        """Replace one."""
        self._builder.store(value.v, self._cells[i])

    def get(self, i: int) -> Value:
        """Return one as it is here."""
        return Value(self._builder, self._builder.load(self._cells[i]))

    def all(self) -> list[Value]:
        """Return all as they are here."""
        return [self.get(i) for i in range(len(self._cells))]


def store_masked(address: Value, value: Value, mask: Value) -> None:
    """Write the float lanes whose bit is set; LLVM takes the lanes apart where no instruction does it."""
    builder, pointer = value.b, address.pointer(value.type)
    kind = ir.FunctionType(ir.VoidType(), [value.type, pointer.type, I32, mask.type])
    name = f"llvm.masked.store.{value.suffix}.p0"
    builder.call(function(builder, name, kind), [value.v, pointer, ir.Constant(I32, 4), mask.v])
