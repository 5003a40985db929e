"""Hardware instructions in plain LLVM: what each one does, for a machine that lacks it.

So a laptop with AVX2 runs the kernels of AVX-512 and of Arm, with their tiles, biases and orders of sums, though many
times slower. ``JACKFIELD_CPU_ISA=avx512:written-out`` asks for that; it is for tests.

An instruction becomes a function of its module instead of a part of the kernel, which has hundreds: so compiling
takes no longer than for the hardware, instead of twice as long. Generators take and return whole registers.
Sources: Intel's Intrinsics Guide, and the Arm Architecture Reference Manual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir

from jackfield_backends.cpu.emit import I16, I32, Value

__all__ = ["INSTRUCTIONS", "call_written_out"]

LANE = 16  # bytes: vectors of x86 are shuffled in lanes of 128 bits
LEAST_I16, LARGEST_I16 = -(2**15), 2**15 - 1


def call_written_out(name: str, result: Any, arguments: Sequence[Value]) -> Value:
    """Call what an instruction does; ``name`` is the intrinsic's, ``result`` the type it returns."""
    builder, mangled = arguments[0].b, f"written_out.{name}"
    function = builder.module.globals.get(mangled)
    if function is None:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = ir.Function(builder.module, kind, mangled)
        function.linkage = "internal"
        function.attributes.add("noinline")
        body = ir.IRBuilder(function.append_basic_block())
        body.ret(INSTRUCTIONS[name](*(Value(body, argument) for argument in function.args)).v)
    return Value(builder, builder.call(function, [argument.v for argument in arguments]))


# ---- products ------------------------------------------------------------------------------------


def _neighbours(products: Value, count: int) -> Value:
    """Sum every ``count`` lanes that lie side by side; 2 or 4."""
    while count > 1:
        products = products.lanes(range(0, products.count, 2)) + products.lanes(range(1, products.count, 2))
        count //= 2
    return products


def vpdpbusd(total: Value, u: Value, a: Value) -> Value:
    """Add to each int32 the products of four unsigned by four signed bytes; nothing saturates."""
    return total + _neighbours(u.unsigned(I32) * a.signed(I32), 4)


def sdot(total: Value, w: Value, a: Value) -> Value:
    """Add to each int32 the products of four by four signed bytes."""
    return total + _neighbours(w.signed(I32) * a.signed(I32), 4)


def pmaddubsw(u: Value, a: Value) -> Value:
    """Sum the products of two unsigned by two signed bytes, saturated to int16."""
    sums = _neighbours(u.unsigned(I32) * a.signed(I32), 2)
    sums = sums.compare(">", LARGEST_I16).choose(sums.constant(LARGEST_I16), sums)
    return sums.compare("<", LEAST_I16).choose(sums.constant(LEAST_I16), sums).signed(I16)


def pmaddwd(x: Value, y: Value) -> Value:
    """Sum the products of two by two int16."""
    return _neighbours(x.signed(I32) * y.signed(I32), 2)


def psignb(x: Value, sign: Value) -> Value:
    """Give each byte a sign: negated where that is negative (−128 stays), 0 where it is 0."""
    signed = sign.compare("<", 0).choose(-x, x)
    return sign.compare("==", 0).choose(x.constant(0), signed)


# ---- lookups -------------------------------------------------------------------------------------


def pshufb(table: Value, indices: Value) -> Value:
    """Look bytes up in the table of their lane by the low four bits of an index; 0 where its highest is set."""
    return _look_up(table, indices & 0x8F)


def tbl1(table: Value, indices: Value) -> Value:
    """Look bytes up in a table of sixteen; 0 for an index beyond."""
    return _look_up(table, indices)


def _look_up(table: Value, indices: Value) -> Value:
    found = indices.constant(0)
    for i in range(LANE):
        entry = table.lanes([at // LANE * LANE + i for at in range(table.count)])
        found = indices.compare("==", i).choose(entry, found)
    return found


INSTRUCTIONS: Mapping[str, Callable[..., Value]] = {
    "llvm.x86.avx512.vpdpbusd.128": vpdpbusd,
    "llvm.x86.avx512.vpdpbusd.256": vpdpbusd,
    "llvm.x86.avx512.vpdpbusd.512": vpdpbusd,
    "llvm.x86.avx512.pshuf.b.512": pshufb,
    "llvm.x86.avx2.pshuf.b": pshufb,
    "llvm.x86.ssse3.pshuf.b.128": pshufb,
    "llvm.x86.avx2.pmadd.ub.sw": pmaddubsw,
    "llvm.x86.avx2.pmadd.wd": pmaddwd,
    "llvm.x86.avx2.psign.b": psignb,
    "llvm.aarch64.neon.sdot.v4i32.v16i8": sdot,
    "llvm.aarch64.neon.tbl1.v16i8": tbl1,
}
"""By LLVM's name of the intrinsic."""
