"""Operations: functions that kernels call and that write LLVM code.

They are declared without the compiler, which learns of them in ``jit.py`` when a kernel is compiled: where every kernel
is in the cache, numba is never imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jackfield_backends.cpu.emit import Value

__all__ = [
    "Kind",
    "Operation",
    "elementwise",
    "f32",
    "f32x16",
    "f64",
    "i32",
    "i64",
    "nothing",
    "operation",
]

Generator = Callable[..., Value | None]


@dataclass(frozen=True)
class Kind:
    """What a value in a kernel is: ``count`` lanes of an element, ``i8``, ``i32``, ``i64``, ``f32`` or ``f64``."""

    element: str
    count: int = 1

    def __str__(self) -> str:
        return self.element if self.count == 1 else f"{self.element}x{self.count}"


nothing = Kind("nothing")
i32, i64, f32, f64 = Kind("i32"), Kind("i64"), Kind("f32"), Kind("f64")
f32x16 = Kind("f32", 16)


class Operation:
    """A generator of code, as kernels call it.

    Attributes:
        generator: From the operands' values to the result's. One without operands is given the builder.
        signature: Kinds of the result and the operands; ``None`` for vectors of any one kind, which it returns.
    """

    def __init__(self, generator: Generator, signature: tuple[Kind, tuple[Kind, ...]] | None) -> None:
        self.generator = generator
        self.signature = signature
        self.__name__, self.__doc__ = generator.__name__, generator.__doc__


def operation(result: Kind, *parameters: Kind) -> Callable[[Generator], Any]:
    """Make a generator of code a function that kernels call, of one signature."""
    return lambda generator: Operation(generator, (result, parameters))


def elementwise(generator: Generator) -> Any:
    """Make a generator a function of vectors of one kind that returns that kind."""
    return Operation(generator, None)
