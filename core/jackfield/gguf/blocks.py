"""The block formats of GGUF tensors: type ids, names and sizes.

A row is a sequence of blocks; a block never crosses rows. ``Q8_1`` and ``Q8_K`` hold activations while
computing and never appear in files; retired ids belonged to layouts that no longer exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["BLOCK_FORMATS", "REFUSED_TYPES", "BlockFormat", "format_of_type"]


@dataclass(frozen=True)
class BlockFormat:
    """A way to store numbers: every ``block_elements`` of a row take ``block_bytes``."""

    name: str
    type_id: int
    block_elements: int
    block_bytes: int

    def num_bytes(self, num_elements: int) -> int:
        """Return the size of that many elements, which fill whole blocks."""
        return num_elements // self.block_elements * self.block_bytes


_TABLE = (
    BlockFormat("F32", 0, 1, 4),
    BlockFormat("F16", 1, 1, 2),
    BlockFormat("Q4_0", 2, 32, 18),
    BlockFormat("Q4_1", 3, 32, 20),
    BlockFormat("Q5_0", 6, 32, 22),
    BlockFormat("Q5_1", 7, 32, 24),
    BlockFormat("Q8_0", 8, 32, 34),
    BlockFormat("Q2_K", 10, 256, 84),
    BlockFormat("Q3_K", 11, 256, 110),
    BlockFormat("Q4_K", 12, 256, 144),
    BlockFormat("Q5_K", 13, 256, 176),
    BlockFormat("Q6_K", 14, 256, 210),
    BlockFormat("IQ2_XXS", 16, 256, 66),
    BlockFormat("IQ2_XS", 17, 256, 74),
    BlockFormat("IQ3_XXS", 18, 256, 98),
    BlockFormat("IQ1_S", 19, 256, 50),
    BlockFormat("IQ4_NL", 20, 32, 18),
    BlockFormat("IQ3_S", 21, 256, 110),
    BlockFormat("IQ2_S", 22, 256, 82),
    BlockFormat("IQ4_XS", 23, 256, 136),
    BlockFormat("I8", 24, 1, 1),
    BlockFormat("I16", 25, 1, 2),
    BlockFormat("I32", 26, 1, 4),
    BlockFormat("I64", 27, 1, 8),
    BlockFormat("F64", 28, 1, 8),
    BlockFormat("IQ1_M", 29, 256, 56),
    BlockFormat("BF16", 30, 1, 2),
    BlockFormat("TQ1_0", 34, 256, 54),
    BlockFormat("TQ2_0", 35, 256, 66),
    BlockFormat("MXFP4", 39, 32, 17),
    BlockFormat("NVFP4", 40, 64, 36),
    BlockFormat("Q1_0", 41, 128, 18),
    BlockFormat("Q2_0", 42, 64, 18),
)

BLOCK_FORMATS: Mapping[str, BlockFormat] = MappingProxyType({form.name: form for form in _TABLE})
"""Every block format by name."""

_BY_TYPE = {form.type_id: form for form in _TABLE}
_RETIRED = "a retired layout; convert the model again"
_ACTIVATIONS = "an activation format that no weight is stored in"

REFUSED_TYPES: Mapping[int, str] = MappingProxyType(
    dict[int, str].fromkeys((4, 5, 31, 32, 33, 36, 37, 38), _RETIRED) | {9: _ACTIVATIONS, 15: _ACTIVATIONS}
)
"""Type ids that are known and not read, with the reason."""


def format_of_type(type_id: int) -> BlockFormat | None:
    """Return the format of a type id, ``None`` when the id is unknown or refused."""
    return _BY_TYPE.get(type_id)
