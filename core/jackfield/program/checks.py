"""Checks of operands while a program is built; each message names the architecture, the op and the shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jackfield.errors import ProgramError
from jackfield.program.ops import Op
from jackfield.program.parts import Buffer, Element, Rows, Weight

__all__ = ["ShapeChecks"]


class ShapeChecks:
    """What a builder checks with; the ops so far are the builder's.

    Args:
        architecture: Name for messages.
    """

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture
        self._ops: list[Op] = []

    def _check(self, fits: bool, op_name: str, what: str) -> None:
        if not fits:
            raise ProgramError(f"{self.architecture}: op {op_name} number {len(self._ops)}: {what}")

    def _check_positive(self, op_name: str, **extents: int) -> None:
        for name, extent in extents.items():
            self._check(extent > 0, op_name, f"{name} is {extent}, expected at least 1")

    def _check_same(self, op_name: str, x: Buffer, y: Buffer) -> None:
        self._check(x.width == y.width and x.rows is y.rows, op_name, f"{x} and {y} differ in shape")

    def _check_tokens(self, op_name: str, *parts: Buffer) -> None:
        for part in parts:
            self._check(part.rows is Rows.TOKENS, op_name, f"{part} has only the output rows, expected all")

    def _check_divides(self, op_name: str, group: int, x: Buffer) -> None:
        self._check(group > 0 and x.width % group == 0, op_name, f"groups of {group} do not divide {x}")

    def _check_columns(self, op_name: str, start: int, width: int, size: int, of: object) -> None:
        inside = start >= 0 and width > 0 and start + width <= size
        self._check(inside, op_name, f"columns {start} to {start + width} are not inside the {size} of {of}")

    def _check_size(self, op_name: str, weight: Weight | None, size: int) -> None:
        fits = weight is None or math.prod(weight.shape) == size
        self._check(fits, op_name, f"{weight} has not the {size} entries expected")

    def _check_shape(self, op_name: str, weight: Weight | None, *shape: int) -> None:
        fits = weight is None or weight.shape == shape
        self._check(fits, op_name, f"{weight} has not the shape {shape} expected")

    def _check_experts(self, x: Buffer, experts: Buffer, expert_weights: Buffer) -> None:
        rows = x.rows is experts.rows is expert_weights.rows
        fits = rows and experts.element is Element.I32 and experts.width == expert_weights.width
        self._check(fits, "expert_feed_forward", f"{experts} and {expert_weights} do not route rows of {x}")

    def _check_order(self, results: Sequence[Buffer]) -> None:
        written: set[Buffer] = set()
        for number, op in enumerate(self._ops):
            name = f"{self.architecture}: op {type(op).__name__} number {number}"
            for part in op.reads:
                if part.root not in written:
                    raise ProgramError(f"{name} reads {part}, which no earlier op writes")
            for part in op.writes:
                if part.base is not None or part in written:
                    raise ProgramError(f"{name} writes {part}, which is a view or written already")
                written.add(part)
        for part in results:
            self._check(part.root in written, "finish", f"no op writes {part}")
