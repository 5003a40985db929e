"""How a model writes that refines whole blocks of tokens instead of picking one after the other."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BlockDiffusion"]


@dataclass(frozen=True)
class BlockDiffusion:
    """A block begins as random tokens, the canvas, which every pass over the model makes less random.

    After a pass, positions are accepted from the surest on while their entropies add up to ``entropy_bound``;
    the others are drawn anew. The block is done when the likeliest tokens have not changed for
    ``stability_threshold`` passes and their mean entropy is below ``confidence_threshold``.

    Attributes:
        canvas_length: C, tokens of a block.
        max_steps: N, most passes over one block.
        t_min, t_max: Temperature of pass n, from 1: ``t_min + (t_max - t_min) * (N + 1 - n) / N``.
        entropy_bound: In nats; the surest position is always accepted.
        confidence_threshold: In nats.
    """

    canvas_length: int
    max_steps: int = 48
    t_min: float = 0.4
    t_max: float = 0.8
    entropy_bound: float = 0.1
    stability_threshold: int = 1
    confidence_threshold: float = 0.005

    def temperature(self, step: int) -> float:
        """Return the temperature of a pass; ``step`` counts from 1."""
        return self.t_min + (self.t_max - self.t_min) * (self.max_steps + 1 - step) / self.max_steps
