"""What ops connect: buffers of rows, weights of the checkpoint, and state kept per sequence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Buffer", "ConvState", "Element", "KvCache", "RecurrentState", "Rows", "State", "Weight"]


class Rows(StrEnum):
    """How many rows a buffer has in a step."""

    TOKENS = "tokens"
    """One row a token of the step."""
    OUTPUTS = "outputs"
    """One row a token whose logits are wanted."""


class Element(StrEnum):
    """What a buffer holds."""

    F32 = "f32"
    I32 = "i32"


@dataclass(frozen=True)
class Buffer:
    """A matrix ``[rows, width]`` that one op writes and later ops read.

    A view has a ``base``: it is ``width`` columns of the base from column ``start`` on, and shares
    its memory.
    """

    id: int
    width: int
    rows: Rows = Rows.TOKENS
    element: Element = Element.F32
    base: Buffer | None = None
    start: int = 0

    @property
    def root(self) -> Buffer:
        """The buffer whose memory this one lives in: itself, or a view's outermost base."""
        return self if self.base is None else self.base.root

    @property
    def column(self) -> int:
        """The first column within ``root``."""
        return self.start if self.base is None else self.base.column + self.start

    def __repr__(self) -> str:
        return f"%{self.id}[{self.rows}, {self.width}]"


@dataclass(frozen=True)
class Weight:
    """A tensor of the checkpoint as an op uses it.

    Attributes:
        name: The tensor's name in the file.
        shape: Numpy order: ``(out, in)`` for a matrix, ``(experts, out, in)`` for stacked experts.
        row_start: First row used, for a matrix that holds several (fused q/k/v); ``shape`` counts
            only the rows used.
    """

    name: str
    shape: tuple[int, ...]
    row_start: int = 0

    def rows(self, start: int, stop: int) -> Weight:
        """Return the matrix of rows ``start`` to ``stop``, without copying."""
        return Weight(self.name, (stop - start, *self.shape[1:]), self.row_start + start)

    def __repr__(self) -> str:
        return f"{self.name}{self.shape}"


@dataclass(frozen=True)
class State:
    """Memory that a sequence keeps between steps; ``id`` counts from 0 within a program."""

    id: int


@dataclass(frozen=True)
class KvCache(State):
    """Keys and values of one layer: a row for each token of the sequence, in pages.

    Attributes:
        num_kv_heads: G, heads stored.
        key_width: Width of a key head.
        value_width: Width of a value head.
        window: Positions a query sees, itself included; ``None`` for all. Rows outside may be
            dropped by a backend that can still serve prefix reuse.
    """

    num_kv_heads: int
    key_width: int
    value_width: int
    window: int | None = None

    @property
    def elements_per_token(self) -> int:
        """Numbers stored for one token."""
        return self.num_kv_heads * (self.key_width + self.value_width)


@dataclass(frozen=True)
class ConvState(State):
    """The last ``kernel - 1`` raw input rows of a causal depthwise convolution."""

    kernel: int
    channels: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and channels kept for a sequence, float32."""
        return (self.kernel - 1, self.channels)


@dataclass(frozen=True)
class RecurrentState(State):
    """A float32 matrix a head: ``[heads, rows, columns]``, zero for a new sequence."""

    heads: int
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Heads, rows and columns kept for a sequence, float32."""
        return (self.heads, self.rows, self.columns)
