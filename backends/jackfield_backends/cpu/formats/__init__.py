"""Block formats as kernels read them, one file a family."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from jackfield_backends.cpu.formats import blocks_of_32, few_bits, grids, k_quants
from jackfield_backends.cpu.formats.block_format import BlockFormat

__all__ = ["FORMATS"]

FORMATS: Mapping[str, BlockFormat] = MappingProxyType(
    {form.name: form for family in (blocks_of_32, k_quants, few_bits, grids) for form in family.FORMATS}
)
"""The quantised formats by name."""
