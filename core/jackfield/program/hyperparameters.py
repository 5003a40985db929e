"""What nearly every checkpoint says about its model, checked.

Fields have the names of their keys (``llama.embedding_length`` → ``embedding_length``), so that a user can
search for them. What only one family says, that family's file reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jackfield.errors import CheckpointError
from jackfield.program.rope import RopeLayout, RopeTable, Yarn, make_rope_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jackfield.gguf import Checkpoint

__all__ = [
    "Hyperparameters",
    "RopeScaling",
    "has_experts",
    "read_expert_counts",
    "read_hyperparameters",
    "read_per_layer",
    "read_rope_factors",
    "read_rope_scaling",
    "read_rope_width",
]

MAX_LAYERS = 1024
MAX_HEADS = 1024
MAX_EXPERTS = 1 << 16
MAX_WIDTH = 1 << 20
MAX_CONTEXT = 1 << 31


@dataclass(frozen=True)
class Hyperparameters:
    """Sizes of a model; what may differ by layer is a tuple with an entry for each.

    Attributes:
        block_count: Layers of the main model; blocks for multi-token prediction are not counted.
        vocab_size: Rows of ``token_embd.weight``.
    """

    architecture: str
    vocab_size: int
    context_length: int
    embedding_length: int
    block_count: int
    feed_forward_length: tuple[int, ...]
    head_count: tuple[int, ...]
    head_count_kv: tuple[int, ...]
    key_length: int
    value_length: int
    layer_norm_rms_epsilon: float


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

    def with_betas(self, fast: float, slow: float, log_multiplier: float) -> RopeScaling:
        """Return the same scaling with YaRN's bounds and magnitude as a file spells them."""
        if self.yarn is None:
            return self
        yarn = replace(self.yarn, beta_fast=fast, beta_slow=slow, log_multiplier=log_multiplier)
        return replace(self, yarn=yarn)


def read_hyperparameters(
    checkpoint: Checkpoint, *, eps_key: str = "attention.layer_norm_rms_epsilon"
) -> Hyperparameters:
    """Read the keys that all families share.

    Args:
        eps_key: The key of the norms' epsilon.

    Raises:
        CheckpointError: A key is missing, out of range, or contradicts another; the message names it.
    """
    data = checkpoint.metadata
    key = data.of_architecture
    width = data.integer(key("embedding_length"), minimum=1, maximum=MAX_WIDTH)
    heads = read_per_layer(checkpoint, "attention.head_count", MAX_HEADS)
    has_groups = key("attention.head_count_kv") in data
    kv_heads = read_per_layer(checkpoint, "attention.head_count_kv", MAX_HEADS) if has_groups else heads
    _check_heads(checkpoint, heads, kv_heads)
    return Hyperparameters(
        architecture=data.architecture,
        vocab_size=_vocab_size(checkpoint, width),
        context_length=data.integer(key("context_length"), minimum=1, maximum=MAX_CONTEXT),
        embedding_length=width,
        block_count=len(heads),
        feed_forward_length=read_per_layer(checkpoint, "feed_forward_length", MAX_WIDTH),
        head_count=heads,
        head_count_kv=kv_heads,
        key_length=_head_width(checkpoint, "attention.key_length", width, heads),
        value_length=_head_width(checkpoint, "attention.value_length", width, heads),
        layer_norm_rms_epsilon=data.number(key(eps_key), minimum=1e-20, maximum=1.0),
    )


def read_per_layer(checkpoint: Checkpoint, name: str, maximum: int) -> tuple[int, ...]:
    """Return the main layers' numbers, 0 where the key is absent.

    One number stands for all layers; an array counts the draft layers at the end too.
    """
    data = checkpoint.metadata
    key = data.of_architecture
    blocks = data.integer(key("block_count"), minimum=1, maximum=MAX_LAYERS)
    draft = data.integer(key("nextn_predict_layers"), 0, minimum=0, maximum=blocks - 1)
    return tuple(data.per_layer(key(name), blocks, 0, minimum=0, maximum=maximum)[: blocks - draft])


def has_experts(checkpoint: Checkpoint) -> bool:
    """Tell whether the file says that layers have experts."""
    data = checkpoint.metadata
    return data.integer(data.of_architecture("expert_count"), 0) != 0


def read_expert_counts(checkpoint: Checkpoint) -> tuple[int, int]:
    """Return how many experts a layer has and how many of them a token uses."""
    data = checkpoint.metadata
    key = data.of_architecture
    count = data.integer(key("expert_count"), minimum=1, maximum=MAX_EXPERTS)
    return count, data.integer(key("expert_used_count"), minimum=1, maximum=count)


def read_rope_scaling(checkpoint: Checkpoint) -> RopeScaling:
    """Read the rotary base and how it is stretched.

    Raises:
        CheckpointError: The kind of scaling is unknown, or a number is out of range.
    """
    data = checkpoint.metadata
    key = data.of_architecture
    base = data.number(key("rope.freq_base"), 10000.0, minimum=1.001, maximum=1e30)
    old_factor = data.number(key("rope.scale_linear"), 1.0, minimum=0.0, maximum=1e6)
    factor = data.number(key("rope.scaling.factor"), old_factor, minimum=0.0, maximum=1e6) or 1.0
    attn_factor = data.number(key("rope.scaling.attn_factor"), 1.0, minimum=1e-6, maximum=1e6)
    kind = data.text(key("rope.scaling.type"), "linear")
    match kind:
        case "none":
            return RopeScaling(base, 1.0, attn_factor)
        case "linear" | "longrope":
            return RopeScaling(base, 1.0 / factor, attn_factor)
        case "yarn":
            return RopeScaling(base, 1.0, attn_factor, Yarn(factor, _original_context(checkpoint)))
    known = "'none', 'linear', 'yarn' or 'longrope'"
    raise data.error(key("rope.scaling.type"), f"is {kind!r}; expected {known}")


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


def _original_context(checkpoint: Checkpoint) -> int:
    data = checkpoint.metadata
    trained = data.integer(data.of_architecture("context_length"), minimum=1, maximum=MAX_CONTEXT)
    original = data.of_architecture("rope.scaling.original_context_length")
    return data.integer(original, trained, minimum=1, maximum=MAX_CONTEXT)


def _vocab_size(checkpoint: Checkpoint, width: int) -> int:
    """Return the rows of the embedding; the key, where there is one, must agree."""
    data = checkpoint.metadata
    table = checkpoint.tensors.get("token_embd.weight")
    if table is None or len(table.shape) != 2 or table.shape[1] != width:
        found = "missing" if table is None else f"of shape {table.shape}"
        raise CheckpointError(
            f"{data.architecture}: tensor 'token_embd.weight' is {found}, expected (vocabulary, {width})",
            param="token_embd.weight",
        )
    key = data.of_architecture("vocab_size")
    said = data.integer(key, table.shape[0])
    if said != table.shape[0]:
        raise data.error(key, f"is {said}, but 'token_embd.weight' has {table.shape[0]} rows")
    return table.shape[0]


def _head_width(checkpoint: Checkpoint, name: str, width: int, heads: Sequence[int]) -> int:
    data = checkpoint.metadata
    key = data.of_architecture(name)
    most = max(heads)
    if key not in data and width % most:
        head_key = data.of_architecture("attention.head_count")
        raise data.error(head_key, f"is {most}; expected a divisor of {width}, for {key!r} is absent")
    return data.integer(key, width // most, minimum=1, maximum=MAX_WIDTH)


def _check_heads(checkpoint: Checkpoint, heads: Sequence[int], kv_heads: Sequence[int]) -> None:
    data = checkpoint.metadata
    if not max(heads):
        key = data.of_architecture("attention.head_count")
        raise CheckpointError(f"key {key!r} is absent or 0; expected the number of heads", param=key)
    for layer, (head, kv_head) in enumerate(zip(heads, kv_heads, strict=True)):
        if kv_head and head % kv_head:
            key = data.of_architecture("attention.head_count_kv")
            raise data.error(key, f"is {kv_head} in layer {layer}; expected a divisor of the {head} heads")
