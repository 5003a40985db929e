"""What the numpy meaning of an op sees: the contract between ops of plugins and backends.

A reference is a function ``(op, inputs) -> None`` that reads the op's buffers, weights and states from
``inputs`` and writes its outputs there:

    def double(op: Double, inputs: Inputs) -> None:
        inputs.write(op.out, 2 * inputs.read(op.x))

Letters: T token rows, B sequences, S positions of one sequence, G heads, K head width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from jackfield.program.parts import Buffer, ConvState, KvCache, RecurrentState, Rows, Weight

if TYPE_CHECKING:
    from jackfield.backend import Step

__all__ = ["Array", "Inputs"]

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]


class Inputs(Protocol):
    """One step, as an op of numpy sees it. All values are float32, all positions int32."""

    @property
    def step(self) -> Step:
        """The step's tables."""
        ...

    def read(self, x: Buffer) -> Array:
        """Return the buffer ``[rows, width]``; not to be written."""
        ...

    def read_indices(self, x: Buffer) -> Indices:
        """Return a buffer of integers ``[rows, width]``; not to be written."""
        ...

    def write(self, out: Buffer, values: npt.NDArray[np.generic]) -> None:
        """Set an output buffer; ``values`` is ``[rows, width]`` and is not kept.

        Raises:
            ProgramError: The shape is another one.
        """
        ...

    def weight(self, weight: Weight) -> Array:
        """Return a weight, dequantised, in the shape the program gives it."""
        ...

    def positions(self, rows: Rows) -> Indices:
        """Return each row's position in its sequence."""
        ...

    def sequences(self, rows: Rows) -> Indices:
        """Return each row's sequence, an index into the step's tables."""
        ...

    def state(self, state: ConvState | RecurrentState, sequence: int) -> Array:
        """Return a sequence's state in ``state.shape``, to be changed in place."""
        ...

    def append(self, cache: KvCache, keys: Array, values: Array) -> None:
        """Store the step's keys ``[T, G * K]`` and values at their positions."""
        ...

    def cached(self, cache: KvCache, sequence: int, length: int) -> tuple[Array, Array]:
        """Return the keys ``[S, G, K]`` and values of a sequence's first ``length`` positions."""
        ...
