"""Kernels to addresses: from memory, from the cache, or compiled.

The compiler is imported only when a kernel is missing: importing numba takes as long as opening a model.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import llvmlite.binding as llvm

from jackfield.backend import OpenProgress
from jackfield.errors import BackendError
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.atomic import YIELD
from jackfield_backends.cpu.cache import ObjectCache, ObjectCode
from jackfield_backends.cpu.isa import Target
from jackfield_backends.cpu.kernel import Kernel

__all__ = ["addresses_of"]

NEEDED_SYMBOLS = ("memcpy", "memset", "memmove", "cos", YIELD)
_linked: dict[tuple[Kernel, Target], int] = {}
_engines: list[Any] = []  # they own the code


def addresses_of(
    kernels: Iterable[Kernel], cache: ObjectCache, progress: OpenProgress | None = None
) -> Mapping[Kernel, int]:
    """Return the address of each kernel, compiling those that nobody has compiled yet.

    Raises:
        BackendError: A kernel does not compile.
    """
    wanted = list(dict.fromkeys(kernels))
    missing = [kernel for kernel in wanted if not _find(kernel, cache)]
    if missing:
        _compile(missing, cache, progress)
    return {kernel: _linked[kernel, isa.target()] for kernel in wanted}


def _find(kernel: Kernel, cache: ObjectCache) -> bool:
    if (kernel, isa.target()) in _linked:
        return True
    code = cache.load(kernel.spec)
    if code is not None:
        _link(kernel, code)
    return code is not None


def _compile(missing: list[Kernel], cache: ObjectCache, progress: OpenProgress | None) -> None:
    from jackfield_backends.cpu.compiler import compile_kernels

    for num_done, (kernel, code) in enumerate(compile_kernels(missing), 1):
        cache.save(kernel.spec, code)
        _link(kernel, code)
        if progress is not None:
            progress("compiling kernels", num_done, len(missing))


def _link(kernel: Kernel, code: ObjectCode) -> None:
    """Load an object file. An engine each: helpers of one name in two files need not be the same."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target().create_target_machine(jit=True))
    _check_symbols()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.data))
    engine.finalize_object()
    _engines.append(engine)
    _linked[kernel, isa.target()] = engine.get_function_address(code.symbol)


@functools.cache
def _target() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


@functools.cache
def _check_symbols() -> None:
    """See that object files will find what they call: the first engine has opened the symbols of this process.

    LLVM stops at the first symbol it does not find and leaves the rest of the file's at 0, to be called.
    """
    missing = [name for name in NEEDED_SYMBOLS if not llvm.address_of_symbol(name)]
    if missing:
        raise BackendError(f"compiled kernels cannot call {', '.join(missing)}; use --backend reference")
