"""What a hosted model says of itself, read from its checkpoint."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jackfield.engine.contract import PoolingKind
from jackfield.gguf import Checkpoint, NumberArray, Tensor, TextArray, Value
from jackfield.text import ChatTemplate
from jackfield.text.contract import ChatFormat, Tokenizer

__all__ = [
    "capabilities_of",
    "digest_of",
    "metadata_of",
    "parameters_of",
    "pooling_of",
    "quantization_of",
    "tensors_of",
]

LONGEST_LIST = 5
SAMPLE_BYTES = 1 << 20

FILE_TYPES: Mapping[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
}
"""``general.file_type``: the recipe a file was quantised by."""

MEAN = 1
POOLING: Mapping[int, PoolingKind | None] = {MEAN: "mean", 2: "first", 3: "last", 4: None}
"""``<architecture>.pooling_type``; 4 is a ranking head."""


def quantization_of(checkpoint: Checkpoint) -> str:
    """Return the recipe the file names, when its tensors agree; else the format of most of its bytes.

    A file that was converted twice often still names the first recipe.
    """
    chief = _chief_format(checkpoint.tensors.values())
    file_type = checkpoint.metadata.get("general.file_type")
    recipe = FILE_TYPES.get(file_type, "") if isinstance(file_type, int) else ""
    return recipe if recipe.split("_")[0].upper() == chief.split("_")[0] else chief


def _chief_format(tensors: Any) -> str:
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.type_name] += tensor.num_bytes
    return sizes.most_common(1)[0][0] if sizes else "unknown"


def parameters_of(checkpoint: Checkpoint) -> int:
    """Return the number of weights."""
    return sum(math.prod(tensor.shape) for tensor in checkpoint.tensors.values())


def digest_of(paths: Sequence[Path]) -> str:
    """Return a sha256 of each file's size, beginning and end: cheap, and different for another model."""
    so_far = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        with path.open("rb") as file:
            so_far.update(size.to_bytes(8, "little"))
            so_far.update(file.read(SAMPLE_BYTES))
            file.seek(max(0, size - SAMPLE_BYTES))
            so_far.update(file.read(SAMPLE_BYTES))
    return so_far.hexdigest()


def metadata_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the metadata as plain values; long lists and the chat template are left out."""
    return {key: _plain(value) for key, value in checkpoint.metadata.items()}


def _plain(value: Value) -> Any:
    if isinstance(value, TextArray):
        return [_clean(text) for text in value] if len(value) <= LONGEST_LIST else None
    if isinstance(value, NumberArray):
        return [_finite(number) for number in value[:]] if len(value) <= LONGEST_LIST else None
    return _clean(value) if isinstance(value, str) else _finite(value)


def _clean(text: str) -> str:
    """Return text that any encoder takes: bytes that were no UTF-8 become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def tensors_of(checkpoint: Checkpoint) -> list[tuple[str, str, list[int]]]:
    """Return name, block format and shape of each tensor."""
    return [_tensor_row(tensor) for tensor in checkpoint.tensors.values()]


def _tensor_row(tensor: Tensor) -> tuple[str, str, list[int]]:
    return tensor.name, tensor.type_name, list(tensor.shape)


def pooling_of(checkpoint: Checkpoint) -> PoolingKind | None:
    """Return how rows become a vector: as the file says, else their mean; ``None`` for a head we do not run."""
    kind = checkpoint.metadata.get(f"{checkpoint.architecture}.pooling_type", MEAN)
    return POOLING.get(kind, "mean") if isinstance(kind, int) else "mean"


def capabilities_of(
    chat_format: ChatFormat,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    pooling: PoolingKind | None,
    *,
    is_diffusion: bool = False,
) -> list[str]:
    """Return what the model can be asked for, by its format, its template, its vocabulary and how it writes."""
    special = tokenizer.special
    can = {
        "tools": chat_format.supports_tools and template.capabilities.takes_tools,
        "thinking": chat_format.supports_thinking and _marks_thinking(chat_format, template),
        "insert": None not in (special.fim_prefix, special.fim_suffix, special.fim_middle),
        "embedding": pooling is not None,
    }
    if is_diffusion:  # it writes whole blocks: no token of them can be forbidden before the others are there
        can |= {"tools": False, "thinking": False}
    return ["completion", *(name for name, is_so in can.items() if is_so)]


def _marks_thinking(chat_format: ChatFormat, template: ChatTemplate) -> bool:
    """Tell whether the template knows of thinking: by a switch, by earlier reasoning, or by the closing tag."""
    can = template.capabilities
    closing = chat_format.thinking_end.strip()
    if can.switches_thinking or can.switches_by_word or can.reasoning:
        return True
    return bool(closing and closing in template.sources.main)
