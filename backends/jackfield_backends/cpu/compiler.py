"""Kernels to addresses: from memory, from the cache, or compiled, in several processes when there are many.

As a program (``python -m jackfield_backends.cpu.compiler``) it compiles what its parent names, a line of JSON each.
A child that dies takes no server with it: LLVM ends the process when it meets an instruction the target lacks.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any, cast

import llvmlite.binding as llvm
import msgspec
import numba
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

from jackfield.backend import OpenProgress
from jackfield.errors import BackendError
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.atomic import YIELD
from jackfield_backends.cpu.cache import ObjectCache, ObjectCode
from jackfield_backends.cpu.isa import Isa
from jackfield_backends.cpu.kernel import (
    OPTIONS,
    SIGNATURE,
    Kernel,
    KernelFamily,
    KernelSpec,
    forget_routines,
)

__all__ = ["addresses_of", "compile_kernel", "use_isa"]

MAX_PROCESSES = 8
WORTH_A_PROCESS = 6  # kernels: importing numba in a child takes as long as compiling a few
NEEDED_SYMBOLS = ("memcpy", "memset", "memmove", "NRT_Free", "numba_unpickle", YIELD)
_linked: dict[tuple[Kernel, Isa], int] = {}
_engines: list[Any] = []  # they own the code


class Answer(msgspec.Struct):
    """What a child replies: the object code, or why there is none; all empty when it cannot import the kernel."""

    symbol: str = ""
    data: str = ""
    error: str = ""


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
        _Compilation(missing, cache, progress).run()
    return {kernel: _linked[kernel, isa.current()] for kernel in wanted}


def use_isa(chosen: Isa | None) -> None:
    """Put an instruction set in force for what is compiled from now on."""
    before = isa.current()
    isa.use(chosen)
    if isa.current() is not before:
        forget_routines()


def compile_kernel(kernel: Kernel) -> ObjectCode:
    """Compile one kernel here.

    Raises:
        BackendError: numba or LLVM refuses it.
    """
    options = {key: value for key, value in OPTIONS.items() if key != "nopython"}
    try:
        compiled = numba.cfunc(SIGNATURE, **options)(kernel.function)
    except Exception as error:
        raise BackendError(
            f"kernel {kernel.spec} does not compile: {type(error).__name__}: {error}"
        ) from error
    return ObjectCode(compiled.native_name, compiled._library._get_compiled_object())


def _find(kernel: Kernel, cache: ObjectCache) -> bool:
    if (kernel, isa.current()) in _linked:
        return True
    code = cache.load(kernel.spec)
    if code is not None:
        _link(kernel, code)
    return code is not None


def _link(kernel: Kernel, code: ObjectCode) -> None:
    """Load an object file. An engine each: helpers of one name in two files need not be the same."""
    _open_process_symbols()
    target = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.data))
    engine.finalize_object()
    _engines.append(engine)
    _linked[kernel, isa.current()] = engine.get_function_address(code.symbol)


@functools.cache
def _open_process_symbols() -> None:
    """Let object files find libc and numba's run-time library, as after a compilation in this process.

    LLVM stops at the first symbol it does not find and leaves the rest of the file's at 0, to be called.
    """
    rtsys.initialize(cpu_target.target_context)
    missing = [name for name in NEEDED_SYMBOLS if not llvm.address_of_symbol(name)]
    if missing:
        raise BackendError(f"compiled kernels cannot call {', '.join(missing)}; use --backend reference")


class _Compilation:
    """Compile what is missing; children and this process take kernels from one queue."""

    def __init__(self, missing: list[Kernel], cache: ObjectCache, progress: OpenProgress | None) -> None:
        self._waiting: queue.SimpleQueue[Kernel] = queue.SimpleQueue()
        for kernel in missing:
            self._waiting.put(kernel)
        self._done: queue.SimpleQueue[tuple[Kernel, ObjectCode | BackendError | None]] = queue.SimpleQueue()
        self._total = len(missing)
        self._cache = cache
        self._progress = progress

    def run(self) -> None:
        """Compile all; the first error is raised when every child has ended."""
        helpers = [threading.Thread(target=self._serve_child) for _ in range(self._num_children())]
        for helper in helpers:
            helper.start()
        errors: list[BackendError] = []
        for num_done in range(1, self._total + 1):
            kernel, result = self._next_result()
            if isinstance(result, BackendError):
                errors.append(result)
                continue
            self._cache.save(kernel.spec, result)
            _link(kernel, result)
            if self._progress is not None:
                self._progress("compiling kernels", num_done, self._total)
        for helper in helpers:
            helper.join()
        if errors:
            raise errors[0]

    def _num_children(self) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(self._total // WORTH_A_PROCESS, cores - 1, MAX_PROCESSES)

    def _next_result(self) -> tuple[Kernel, ObjectCode | BackendError]:
        """Return a finished kernel, compiling one here if none is finished yet."""
        try:
            kernel, result = self._done.get_nowait()
        except queue.Empty:
            try:
                kernel, result = self._waiting.get_nowait(), None
            except queue.Empty:
                kernel, result = self._done.get()
        try:
            return kernel, compile_kernel(kernel) if result is None else result
        except BackendError as error:
            return kernel, error

    def _serve_child(self) -> None:
        """Hand kernels to a child until none waits."""
        environment = dict(os.environ, **{isa.ENVIRONMENT: str(isa.current())})
        command = [sys.executable, "-m", "jackfield_backends.cpu.compiler"]
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
            )
        except OSError:
            return
        with contextlib.suppress(BrokenPipeError), child:  # closing the pipe of a dead child fails once more
            while True:
                try:
                    kernel = self._waiting.get_nowait()
                except queue.Empty:
                    break
                self._done.put((kernel, self._ask(child, kernel)))
            assert child.stdin is not None
            child.stdin.close()

    def _ask(self, child: subprocess.Popen[str], kernel: Kernel) -> ObjectCode | BackendError | None:
        """Return the child's result; ``None`` when the kernel must be compiled in this process."""
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(msgspec.json.encode(kernel.spec).decode() + "\n")
            child.stdin.flush()
            answer = msgspec.json.decode(child.stdout.readline(), type=Answer)
        except (OSError, ValueError) as error:
            advice = f"set {isa.ENVIRONMENT}=portable"
            return BackendError(f"kernel {kernel.spec} ended the compiler ({error}); {advice}")
        if answer.error:
            return BackendError(answer.error)
        return ObjectCode(answer.symbol, base64.b64decode(answer.data)) if answer.data else None


def _kernel_of(spec: KernelSpec) -> Kernel:
    declared = getattr(importlib.import_module(spec.module), spec.name)
    if isinstance(declared, KernelFamily):
        return declared(*spec.parameters)
    return cast("Kernel", declared)


def _answer(line: str) -> Answer:
    try:
        kernel = _kernel_of(msgspec.json.decode(line, type=KernelSpec))
    except (ImportError, AttributeError):
        return Answer()
    try:
        code = compile_kernel(kernel)
    except BackendError as error:
        return Answer(error=error.message)
    return Answer(code.symbol, base64.b64encode(code.data).decode())


def main() -> None:
    """Answer each line of the standard input."""
    for line in sys.stdin:
        print(msgspec.json.encode(_answer(line)).decode(), flush=True)


if __name__ == "__main__":
    main()
