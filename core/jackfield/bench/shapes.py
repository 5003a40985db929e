"""Named model shapes with random weights: any size can be measured without downloading anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jackfield.bench.mixtures import tensor_types
from jackfield.errors import ConfigError, did_you_mean
from jackfield.testing.tiny import make_checkpoint

__all__ = ["SHAPES", "Shape", "write_shape"]

VOCAB_SIZE = 151_936


@dataclass(frozen=True)
class Shape:
    """The sizes of a published model."""

    architecture: str
    num_layers: int
    sizes: dict[str, Any] = field(default_factory=dict[str, Any])
    vocab_size: int = VOCAB_SIZE


SHAPES = {
    "qwen3-0.6b": Shape(
        "qwen3", 28, {"width": 1024, "num_heads": 16, "num_kv_heads": 8, "head_width": 128, "ff_width": 3072}
    ),
    "qwen3-1.7b": Shape(
        "qwen3", 28, {"width": 2048, "num_heads": 16, "num_kv_heads": 8, "head_width": 128, "ff_width": 6144}
    ),
    "llama-1b": Shape(
        "llama",
        16,
        {"width": 2048, "num_heads": 32, "num_kv_heads": 8, "head_width": 64, "ff_width": 8192},
        128_256,
    ),
    "moe-small": Shape(
        "qwen3moe",
        12,
        {
            "width": 1024, "num_heads": 16, "num_kv_heads": 4, "head_width": 64, "ff_width": 768,
            "num_experts": 32, "num_experts_used": 4,
        },
        32_000,
    ),
    "tiny": Shape(
        "qwen3", 4, {"width": 256, "num_heads": 4, "num_kv_heads": 2, "head_width": 64, "ff_width": 768}, 4096
    ),
}  # fmt: skip


def write_shape(name: str, file_type: str, folder: Path) -> Path:
    """Write a shape with random weights into a folder, unless it is there, and return its path.

    Args:
        file_type: A block format such as ``Q8_0``, or a mixture such as ``Q4_K_M``.

    Raises:
        ConfigError: No shape has that name.
    """
    shape = SHAPES.get(name)
    if shape is None:
        raise ConfigError(f"no shape {name!r}; known: {', '.join(SHAPES)}.{did_you_mean(name, SHAPES)}")
    path = folder / f"{name}-{file_type}.gguf"
    if path.exists():
        return path
    tensor_type, others = tensor_types(file_type, shape.num_layers)
    partial = path.with_suffix(".partial")
    make_checkpoint(
        partial,
        shape.architecture,
        tensor_type=tensor_type,
        tensor_types=others,
        vocab_size=shape.vocab_size,
        num_layers=shape.num_layers,
        context_length=32_768,
        sizes=shape.sizes,
    )
    partial.rename(path)
    return path
