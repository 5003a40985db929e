"""What nearly every checkpoint says about its model, checked.

Fields have the names of their keys (``llama.embedding_length`` → ``embedding_length``), so that a user can
search for them. What only one family says, that family's file reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jackfield.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jackfield.gguf import Checkpoint

__all__ = [
    "Hyperparameters",
    "has_experts",
    "read_expert_counts",
    "read_expert_width",
    "read_hyperparameters",
    "read_per_layer",
    "read_windows",
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


def read_hyperparameters(
    checkpoint: Checkpoint,
    *,
    eps_key: str = "attention.layer_norm_rms_epsilon",
    eps: float | None = None,
) -> Hyperparameters:
    """Read the keys that all families share.

    Args:
        eps_key: The key of the norms' epsilon.
        eps: The epsilon of files without that key; by default they are refused.

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
        layer_norm_rms_epsilon=_epsilon(checkpoint, eps_key, eps),
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


def read_expert_width(checkpoint: Checkpoint) -> int:
    """Return the inner width of one expert; where the key is absent, the columns of the first ``ffn_down_exps``.

    Early conversions and Ollama's leave the key out.
    """
    data = checkpoint.metadata
    key = data.of_architecture("expert_feed_forward_length")
    if key not in data:
        for name, tensor in checkpoint.tensors.items():
            if name.endswith(".ffn_down_exps.weight"):
                return tensor.shape[-1]
    return data.integer(key, minimum=1, maximum=MAX_WIDTH)


def read_windows(checkpoint: Checkpoint, *, period: int, window: int = 0) -> tuple[int | None, ...]:
    """Return how many positions each main layer sees, itself included; ``None`` for all.

    Args:
        period: Where the file has no pattern: of so many layers in a row, the last sees all.
        window: Where the file does not say how many; 0 for all.
    """
    data = checkpoint.metadata
    key = data.of_architecture
    layers = len(read_per_layer(checkpoint, "attention.head_count", MAX_HEADS))
    width = data.integer(key("attention.sliding_window"), window, minimum=0, maximum=MAX_CONTEXT)
    name = key("attention.sliding_window_pattern")
    if isinstance(data.get(name), int) or name not in data:
        period = data.integer(name, period, minimum=0, maximum=MAX_LAYERS)
        is_windowed = [period == 0 or layer % period < period - 1 for layer in range(layers)]
    else:
        is_windowed = data.booleans(name)
        if len(is_windowed) < layers:
            raise data.error(
                name, f"has {len(is_windowed)} elements; expected one for each of {layers} layers"
            )
    return tuple(width if windowed and width else None for windowed in is_windowed[:layers])


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


def _epsilon(checkpoint: Checkpoint, name: str, default: float | None) -> float:
    data = checkpoint.metadata
    key = data.of_architecture(name)
    if default is not None and key not in data:
        return default
    return data.number(key, minimum=1e-20, maximum=1.0)


def _check_heads(checkpoint: Checkpoint, heads: Sequence[int], kv_heads: Sequence[int]) -> None:
    data = checkpoint.metadata
    if not max(heads):
        key = data.of_architecture("attention.head_count")
        raise CheckpointError(f"key {key!r} is absent or 0; expected the number of heads", param=key)
    for layer, (head, kv_head) in enumerate(zip(heads, kv_heads, strict=True)):
        if kv_head and head % kv_head:
            key = data.of_architecture("attention.head_count_kv")
            raise data.error(key, f"is {kv_head} in layer {layer}; expected a divisor of the {head} heads")
