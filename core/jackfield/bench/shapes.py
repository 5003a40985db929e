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
FOURTH = {"full_attention_interval": 4}


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
    "qwen3-moe-4l": Shape(  # 4 of the 48 layers of Qwen3-30B-A3B
        "qwen3moe",
        4,
        {
            "width": 2048, "num_heads": 32, "num_kv_heads": 4, "head_width": 128, "ff_width": 768,
            "num_experts": 128, "num_experts_used": 8,
        },
        32_000,
    ),
    "qwen35-0.8b": Shape(
        "qwen35",
        24,
        {
            "width": 1024, "num_heads": 8, "num_kv_heads": 2, "head_width": 256, "ff_width": 3584,
            "extra": {
                "num_key_heads": 16, "num_value_heads": 16, "state_width": 128, "draft_layers": 0, **FOURTH,
            },
        },
    ),
    "qwen3next-4l": Shape(  # 4 of the 48 layers, a quarter of the experts of Qwen3-Next-80B-A3B
        "qwen3next",
        4,
        {
            "width": 2048, "num_heads": 16, "num_kv_heads": 2, "head_width": 256, "ff_width": 512,
            "num_experts": 128, "num_experts_used": 10,
            "extra": {"num_key_heads": 16, "num_value_heads": 32, "state_width": 128, **FOURTH},
        },
        32_000,
    ),
    "nemotron-h-12l": Shape(
        "nemotron_h",
        12,
        {
            "width": 2048, "num_heads": 32, "num_kv_heads": 8, "head_width": 128, "ff_width": 8192,
            "extra": {"num_groups": 8, "num_state_heads": 64, "state_size": 128, "inner_width": 4096},
        },
        131_072,
    ),
    "gpt-oss-4l": Shape(  # 4 of the 24 layers of gpt-oss-20b
        "gpt-oss",
        4,
        {
            "width": 2880, "num_heads": 64, "num_kv_heads": 8, "head_width": 64, "ff_width": 2880,
            "num_experts": 32, "num_experts_used": 4,
            "extra": {"window": 128, "original_context": 4096},
        },
        32_000,
    ),
    "gemma3-1b": Shape(
        "gemma3",
        26,
        {
            "width": 1152, "num_heads": 4, "num_kv_heads": 1, "head_width": 256, "ff_width": 6912,
            "extra": {"window": 512},
        },
        131_072,
    ),
    "gemma4-e-15l": Shape(
        "gemma4",
        15,
        {
            "width": 1536, "num_heads": 8, "num_kv_heads": 1, "head_width": 256, "ff_width": 6144,
            "num_experts": 0,
            "extra": {
                "window": 512, "full_attention_interval": 5, "shared_kv_layers": 5, "layer_input_width": 256,
            },
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
