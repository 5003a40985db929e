"""The SIMD vocabulary of kernels: vectors, and a few dozen operations on them.

Vectors are named by what they hold: ``f32x16`` is sixteen float32. LLVM splits what is wider than the machine's
registers, so a kernel is written once, for 512 bits. ``+ - * /`` take two vectors of one type, or a vector and a
scalar; ``& | ^`` integers. NaN and infinity keep their meaning everywhere.

What one instruction set does differently from another is in ``instructions.py``, reading and writing of float16 in
``float16.py``; addresses are int64.
"""

from __future__ import annotations

from jackfield_backends.cpu import emit, float16
from jackfield_backends.cpu.emit import F32, I1, I8, I16, I32, I64, Value, call, constant, loop
from jackfield_backends.cpu.operation import (
    elementwise,
    f32,
    f32x16,
    i64,
    nothing,
    operation,
)

__all__ = [
    "exp",
    "exp2",
    "exp2_one",
    "exp_one",
    "f32x16",
    "first_equal",
    "first_lanes",
    "fma",
    "greatest",
    "keep_first",
    "load_bf16_f32x16",
    "load_f16_f32x16",
    "load_f32",
    "load_f32x16",
    "load_i32",
    "maximum",
    "minimum",
    "operation",
    "prefetch_span",
    "sigmoid",
    "silu",
    "softplus",
    "softplus_of",
    "splat",
    "store_f16",
    "store_f16_f32x16",
    "store_f32",
    "store_f32x16",
    "store_first",
    "store_i8",
    "store_i32",
    "tanh",
    "total",
]

# ---- memory --------------------------------------------------------------------------------------


@operation(f32x16, i64)
def load_f32x16(address: Value) -> Value:
    """Read sixteen float32."""
    return address.load(F32, 16)


@operation(f32x16, i64)
def load_f16_f32x16(address: Value) -> Value:
    """Read sixteen float16 as float32."""
    return float16.load_half(address, 16)


@operation(f32x16, i64)
def load_bf16_f32x16(address: Value) -> Value:
    """Read sixteen bfloat16 as float32."""
    return (address.load(I16, 16).unsigned(I32) << 16).bits(F32)


@operation(f32, i64)
def load_f32(address: Value) -> Value:
    """Read a float32."""
    return address.load(F32)


@operation(i64, i64)
def load_i32(address: Value) -> Value:
    """Read an int32 as int64."""
    return address.load(I32).signed(I64)


@operation(nothing, i64, f32x16)
def store_f32x16(address: Value, value: Value) -> None:
    """Write sixteen float32."""
    address.store(value)


@operation(nothing, i64, f32x16)
def store_f16_f32x16(address: Value, value: Value) -> None:
    """Write sixteen float32 as float16, rounded to the nearest, ties to even."""
    float16.store_half(address, value)


@operation(nothing, i64, f32)
def store_f32(address: Value, value: Value) -> None:
    """Write a float32."""
    address.store(value)


@operation(nothing, i64, f32)
def store_f16(address: Value, value: Value) -> None:
    """Write a float32 as float16."""
    float16.store_half(address, value)


@operation(nothing, i64, i64)
def store_i32(address: Value, value: Value) -> None:
    """Write the low half of an int64."""
    address.store(value.signed(I32))


@operation(nothing, i64, i64)
def store_i8(address: Value, value: Value) -> None:
    """Write the low byte of an int64."""
    address.store(value.signed(I8))


@operation(nothing, i64, f32x16, i64)
def store_first(address: Value, value: Value, count: Value) -> None:
    """Write the first ``count`` of sixteen float32, the rest stays as it is.

    A whole vector is stored as one: masked stores cost dozens of cycles on some processors.
    """
    with value.b.if_else(count.compare(">", 15).v) as (whole, part):
        with whole:
            address.store(value)
        with part:
            emit.store_masked(address, value, first_lanes(value, count))


@operation(nothing, i64, i64)
def prefetch_span(address: Value, num_bytes: Value) -> None:
    """Ask for the cache lines of a stretch of memory, which need not be mapped."""
    with loop((num_bytes + 63) >> 6) as line:
        (address + (line << 6)).prefetch()


# ---- arithmetic ----------------------------------------------------------------------------------


@operation(f32x16, f32)
def splat(value: Value) -> Value:
    """Return sixteen times a float32."""
    return value.splat(16)


@elementwise
def fma(x: Value, y: Value, z: Value) -> Value:
    """Return ``x * y + z``, fused where the processor fuses."""
    return x.fma(y, z)


@elementwise
def maximum(x: Value, y: Value) -> Value:
    """Return the greater of each lane, ``x`` where either is NaN."""
    return x.compare("<", y).choose(y, x)


@elementwise
def minimum(x: Value, y: Value) -> Value:
    """Return the smaller of each lane, ``x`` where either is NaN."""
    return y.compare("<", x).choose(y, x)


def first_lanes(value: Value, count: Value) -> Value:
    """Return lanes of bits: set for the first ``count`` lanes, a value of int64."""
    numbers = constant(value.b, I32, list(range(value.count)), value.count)
    return numbers.compare("<", count.signed(I32).splat(value.count))


@operation(f32x16, f32x16, i64, f32)
def keep_first(value: Value, count: Value, other: Value) -> Value:
    """Keep the first ``count`` lanes and put ``other`` in the rest."""
    return first_lanes(value, count).choose(value, other)


@operation(f32, f32x16)
def total(value: Value) -> Value:
    """Return the sum of the lanes."""
    return value.total()


@operation(f32, f32x16)
def greatest(value: Value) -> Value:
    """Return the greatest lane, lanes that are NaN left out."""
    return value.fold(lambda x, y: x.compare("<", y).choose(y, x))


@operation(i64, f32x16, f32)
def first_equal(value: Value, wanted: Value) -> Value:
    """Return the number of the first lane that equals a number, 16 if none does."""
    lanes = value.compare("==", wanted.splat(16))
    bits = value.new(value.b.bitcast(lanes.v, I16)).unsigned(I32) | 1 << 16
    return call(value.b, "llvm.cttz.i32", I32, [bits, constant(value.b, I1, 0)]).unsigned(I64)


# ---- functions -----------------------------------------------------------------------------------

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693145751953125, 1.428606765330187e-06
ROUND_TO_INT = 12582912.0  # 1.5 * 2^23: adding it leaves the rounded integer in the low bits


def exp_of(x: Value) -> Value:
    """Return e^x: 2^n times a polynomial; 0 below -86.9, infinite above 88.3, NaN for NaN; within 2 ulp."""
    low = x.compare("<", -86.9)
    high = x.compare(">", 88.73)
    x = high.choose(x.constant(88.73), low.choose(x.constant(-86.9), x))
    n = (x * LOG2_E).function("rint")
    r = n.fma(-LN2_LOW, n.fma(-LN2_HIGH, x))
    p = r.constant(1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        p = p.fma(r, r.constant(coefficient))
    # in two factors, since 2^128 is not a float
    half = (n + (ROUND_TO_INT + 126)).bits(I32) << 23
    power = half.bits(F32)
    return low.choose(x.constant(0.0), p * power * 2.0)


# of 2^r for r in [-1/2, 1/2], from the highest power down: least largest relative error, with 1 at 0
EXP2 = (1.5353362e-4, 1.3398874e-3, 9.6184374e-3, 5.5503325e-2, 2.4022648e-1, 6.931472e-1, 1.0)


def exp2_of(x: Value) -> Value:
    """Return 2^x of lanes up to 127: 0 below -126.5, NaN for NaN; within 1 ulp."""
    x = x.compare("<", -127.0).choose(x.constant(-127.0), x)
    n = x.function("rint")
    r = x - n
    p = r.constant(EXP2[0])
    for coefficient in EXP2[1:]:
        p = p.fma(r, r.constant(coefficient))
    power = (n + (ROUND_TO_INT + 127)).bits(I32) << 23  # no bits are left of n = -127
    return p * power.bits(F32)


def sigmoid_of(x: Value) -> Value:
    """Return 1 / (1 + e^-x)."""
    return 1.0 / (exp_of(-x) + 1.0)


def tanh_of(x: Value) -> Value:
    """Return tanh x; near 0 by its series, where the quotient would cancel."""
    z = x * x
    p = z.constant(-17 / 315).fma(z, z.constant(2 / 15)).fma(z, z.constant(-1 / 3))
    near = (p * z).fma(x, x)
    far = 1.0 - 2.0 / (exp_of(x + x) + 1.0)
    return x.function("fabs").compare("<", 0.1).choose(near, far)


def softplus_of(x: Value) -> Value:
    """Return log(1 + e^x): x where that is positive, and log(1 + t), t = e^-|x|, as 2 atanh(t / (2 + t))."""
    t = exp_of(-x.function("fabs"))
    s = t / (t + 2.0)
    z = s * s
    p = z.constant(1 / 17)
    for odd in (15, 13, 11, 9, 7, 5, 3, 1):
        p = p.fma(z, z.constant(1 / odd))
    return x.compare("<", 0.0).choose(x.constant(0.0), x) + s * p * 2.0


@elementwise
def exp(x: Value) -> Value:
    """Return e^x."""
    return exp_of(x)


@operation(f32, f32)
def exp_one(x: Value) -> Value:
    """Return e^x of one number, the same as of a vector's lane."""
    return exp_of(x)


@elementwise
def exp2(x: Value) -> Value:
    """Return 2^x of lanes up to 127."""
    return exp2_of(x)


@operation(f32, f32)
def exp2_one(x: Value) -> Value:
    """Return 2^x of one number up to 127, the same as of a vector's lane."""
    return exp2_of(x)


@elementwise
def sigmoid(x: Value) -> Value:
    """Return 1 / (1 + e^-x)."""
    return sigmoid_of(x)


@elementwise
def silu(x: Value) -> Value:
    """Return x / (1 + e^-x)."""
    return x / (exp_of(-x) + 1.0)


@elementwise
def tanh(x: Value) -> Value:
    """Return the hyperbolic tangent."""
    return tanh_of(x)


@elementwise
def softplus(x: Value) -> Value:
    """Return log(1 + e^x)."""
    return softplus_of(x)
