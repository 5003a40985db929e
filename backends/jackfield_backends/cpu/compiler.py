"""Compiling kernels, in several processes when there are many.

As a program (``python -m jackfield_backends.cpu.compiler``) it compiles what its parent names, a line of JSON each.
A child that dies takes no server with it: LLVM ends the process when it meets an instruction the target lacks.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import cast

import msgspec

from jackfield.errors import BackendError
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.cache import ObjectCode
from jackfield_backends.cpu.jit import compile_kernel
from jackfield_backends.cpu.kernel import Kernel, KernelFamily, KernelSpec

__all__ = ["compile_kernels"]

MAX_PROCESSES = 8
WORTH_A_PROCESS = 6  # kernels: importing numba in a child takes as long as compiling a few


class Answer(msgspec.Struct):
    """What a child replies: the object code, or why there is none; all empty when it cannot import the kernel."""

    symbol: str = ""
    data: str = ""
    error: str = ""


def compile_kernels(missing: list[Kernel]) -> Iterator[tuple[Kernel, ObjectCode]]:
    """Yield the code of each kernel as soon as there is some.

    Raises:
        BackendError: The first kernel that does not compile, when all others are done.
    """
    return _Compilation(missing).run()


class _Compilation:
    """Compile what is missing; children and this process take kernels from one queue."""

    def __init__(self, missing: list[Kernel]) -> None:
        self._waiting: queue.SimpleQueue[Kernel] = queue.SimpleQueue()
        for kernel in missing:
            self._waiting.put(kernel)
        self._done: queue.SimpleQueue[tuple[Kernel, ObjectCode | BackendError | None]] = queue.SimpleQueue()
        self._total = len(missing)

    def run(self) -> Iterator[tuple[Kernel, ObjectCode]]:
        """Compile all; the first error is raised when every child has ended."""
        helpers = [threading.Thread(target=self._serve_child) for _ in range(self._num_children())]
        for helper in helpers:
            helper.start()
        errors: list[BackendError] = []
        for _ in range(self._total):
            kernel, result = self._next_result()
            if isinstance(result, BackendError):
                errors.append(result)
            else:
                yield kernel, result
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
        environment = dict(os.environ, **{isa.ENVIRONMENT: str(isa.target())})
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
