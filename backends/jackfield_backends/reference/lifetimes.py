"""How long buffers live: from the op that writes them to the last that reads them."""

from __future__ import annotations

from jackfield.program import Buffer, Program

__all__ = ["last_reads", "peak_width"]


def last_reads(program: Program) -> dict[int, list[Buffer]]:
    """Return for each op, by its number, the buffers that no later op reads."""
    last = {part: number for number, op in enumerate(program.ops) for part in op.writes}
    last |= {part.root: number for number, op in enumerate(program.ops) for part in op.reads}
    for result in {program.hidden.root, program.logits.root}:
        del last[result]
    freed: dict[int, list[Buffer]] = {}
    for buffer, number in last.items():
        freed.setdefault(number, []).append(buffer)
    return freed


def peak_width(program: Program) -> int:
    """Return the most columns that are alive at once."""
    freed = last_reads(program)
    alive = peak = 0
    for number, op in enumerate(program.ops):
        alive += sum(part.width for part in op.writes)
        peak = max(peak, alive)
        alive -= sum(part.width for part in freed.get(number, ()))
    return peak
