"""What checkpoints say about rotary positions, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jackfield.errors import CheckpointError
from jackfield.program.hyperparameters import MAX_CONTEXT
from jackfield.program.rope import RopeLayout, RopeTable, Yarn, make_rope_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jackfield.gguf import Checkpoint

__all__ = [
    "RopeScaling",
    "read_original_context",
    "read_rope_factors",
    "read_rope_scaling",
    "read_rope_width",
]

MIN_BASE = 1.001
MAX_BASE = 1e30


@dataclass(frozen=True)
class RopeScaling:
    """How a checkpoint says positions rotate; ``table`` makes the frequencies of one head width."""

    freq_base: float
    scale: float = 1.0
    attn_factor: float = 1.0
    yarn: Yarn | None = None

    def table(
        self, num_rotated: int, layout: RopeLayout, factors: Sequence[float] | None = None
    ) -> RopeTable:
        """Return the table of heads whose first ``num_rotated`` columns rotate."""
        return make_rope_table(
            num_rotated,
            self.freq_base,
            layout,
            scale=self.scale,
            factors=factors,
            yarn=self.yarn,
            magnitude=self.attn_factor,
        )

    def rebased(self, checkpoint: Checkpoint, default_base: float, scale: float) -> RopeScaling:
        """Return the scaling of layers with a sliding window, whose base ``rope.freq_base_swa`` is."""
        data = checkpoint.metadata
        old_name = data.of_architecture("rope.local.freq_base")
        default = data.number(old_name, default_base, minimum=MIN_BASE, maximum=MAX_BASE)
        name = data.of_architecture("rope.freq_base_swa")
        base = data.number(name, default, minimum=MIN_BASE, maximum=MAX_BASE)
        return replace(self, freq_base=base, scale=scale)

    def with_betas(self, fast: float, slow: float, log_multiplier: float) -> RopeScaling:
        """Return the same scaling with YaRN's bounds and magnitude as a file spells them."""
        if self.yarn is None:
            return self
        yarn = replace(self.yarn, beta_fast=fast, beta_slow=slow, log_multiplier=log_multiplier)
        return replace(self, yarn=yarn)


def read_rope_scaling(
    checkpoint: Checkpoint, default: str = "linear", *, base: float = 10000.0, factor: float = 1.0
) -> RopeScaling:
    """Read the rotary base and how it is stretched.

    Args:
        default: The kind of scaling where the file does not say.
        base: The base where the file does not say.
        factor: By how much positions are stretched where the file does not say.

    Raises:
        CheckpointError: The kind of scaling is unknown, or a number is out of range.
    """
    data = checkpoint.metadata
    key = data.of_architecture
    base = data.number(key("rope.freq_base"), base, minimum=MIN_BASE, maximum=MAX_BASE)
    old_factor = data.number(key("rope.scale_linear"), factor, minimum=0.0, maximum=1e6)
    factor = data.number(key("rope.scaling.factor"), old_factor, minimum=0.0, maximum=1e6) or 1.0
    attn_factor = data.number(key("rope.scaling.attn_factor"), 1.0, minimum=1e-6, maximum=1e6)
    kind = data.text(key("rope.scaling.type"), default) or default  # Ollama writes "" for models without
    match kind:
        case "none":
            return RopeScaling(base, 1.0, attn_factor)
        case "linear" | "longrope":
            return RopeScaling(base, 1.0 / factor, attn_factor)
        case "yarn":
            return RopeScaling(base, 1.0, attn_factor, Yarn(factor, read_original_context(checkpoint)))
        case unknown:
            known = "'none', 'linear', 'yarn' or 'longrope'"
            raise data.error(key("rope.scaling.type"), f"is {unknown!r}; expected {known}")


def read_rope_width(checkpoint: Checkpoint, head_width: int, name: str = "rope.dimension_count") -> int:
    """Return how many columns of a head rotate, an even number of at most ``head_width``."""
    data = checkpoint.metadata
    key = data.of_architecture(name)
    width = data.integer(key, head_width, minimum=2, maximum=head_width)
    if width % 2:
        raise CheckpointError(f"key {key!r} makes {width} columns of a head rotate; expected an even number")
    return width


def read_rope_factors(checkpoint: Checkpoint, name: str, num_rotated: int) -> list[float] | None:
    """Return the divisors of the rotary frequencies that a tensor holds; ``None`` when it is absent."""
    tensor = checkpoint.tensors.get(name)
    if tensor is None:
        return None
    expected = (num_rotated // 2,)
    if tensor.shape != expected:
        raise CheckpointError(f"tensor {name!r} has shape {tensor.shape}; expected {expected}", param=name)
    factors: list[float] = tensor.to_float32().tolist()
    if not all(0 < factor < math.inf for factor in factors):
        raise CheckpointError(f"tensor {name!r} has a factor that is not positive and finite", param=name)
    return factors


def read_original_context(checkpoint: Checkpoint) -> int:
    """Return the positions trained for before they were stretched."""
    data = checkpoint.metadata
    trained = data.integer(data.of_architecture("context_length"), minimum=1, maximum=MAX_CONTEXT)
    original = data.of_architecture("rope.scaling.original_context_length")
    return data.integer(original, trained, minimum=1, maximum=MAX_CONTEXT)
