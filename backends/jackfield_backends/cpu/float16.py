"""Reading and writing float16, in hardware or by moving bits."""

from __future__ import annotations

from jackfield_backends.cpu.emit import F16, F32, I16, I32, Value
from jackfield_backends.cpu.instructions import in_force

__all__ = ["half_to_float", "load_half", "store_half"]


def load_half(address: Value, count: int, offset: int = 0) -> Value:
    """Read float16 lanes as float32."""
    if in_force().has_half:
        return address.load(F16, count, offset).signed(F32)
    return _half_to_float(address.load(I16, count, offset).unsigned(I32))


def half_to_float(bits: Value) -> Value:
    """Return the float32 of float16 bits, 16-bit integers."""
    return bits.bits(F16).signed(F32) if in_force().has_half else _half_to_float(bits.unsigned(I32))


def store_half(address: Value, value: Value) -> None:
    """Write float32 lanes as float16, rounded to the nearest, ties to even."""
    if in_force().has_half:
        address.store(value.signed(F16))
    else:
        address.store(_float_to_half(value.bits(I32)).signed(I16))


def _half_to_float(bits: Value) -> Value:
    """Move exponent and mantissa into place and multiply by 2^112, which also makes subnormals right."""
    magnitude = ((bits & 0x7FFF) << 13).bits(F32) * 2.0**112
    special = (bits & 0x7C00).compare("==", 0x7C00)
    exact = special.choose(magnitude.bits(I32) | 0x7F800000, magnitude.bits(I32))
    return (exact | ((bits & 0x8000) << 16)).bits(F32)


def _float_to_half(bits: Value) -> Value:
    sign = (bits & 0x80000000) >> 16
    magnitude = bits & 0x7FFFFFFF
    # normal: move the exponent's zero and round to even; what overflows becomes infinity
    odd = (magnitude >> 13) & 1
    normal = (magnitude - (112 << 23) + 0xFFF + odd) >> 13
    # subnormal: adding 0.5 leaves the rounded mantissa in the low bits
    small = (magnitude.bits(F32) + 0.5).bits(I32) - 0x3F000000
    half = magnitude.below(113 << 23).choose(small, normal)
    half = magnitude.below(0x477FF000).choose(half, half.constant(0x7C00))
    nan = magnitude.constant(0x7F800000).below(magnitude)
    return nan.choose(half.constant(0x7E00), half) | sign
