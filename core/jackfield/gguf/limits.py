"""How much a file may claim; anything beyond is refused before memory is taken for it."""

from __future__ import annotations

__all__ = [
    "DEFAULT_ALIGNMENT",
    "MAX_ALIGNMENT",
    "MAX_DIMENSIONS",
    "MAX_ELEMENTS",
    "MAX_ITEMS",
    "MAX_KEY_BYTES",
    "MAX_LIST",
    "MAX_METADATA_BYTES",
    "MAX_NAME_BYTES",
    "MAX_PARTS",
    "MAX_RECORDS",
    "MAX_TEXT_BYTES",
    "MIN_ALIGNMENT",
    "VERSIONS",
]

VERSIONS = (2, 3)
MAX_RECORDS = 65_536
"""Most metadata keys, and most tensors."""
MAX_KEY_BYTES = 65_535
MAX_NAME_BYTES = 63
MAX_TEXT_BYTES = 16 << 20
MAX_ITEMS = 16 << 20
"""Most elements of a metadata array."""
MAX_LIST = 1 << 20
"""Most elements of a metadata array that become Python objects; an order above the largest vocabulary."""
MAX_METADATA_BYTES = 128 << 20
"""Most bytes of keys and values together; the largest vocabularies have 16 MB."""
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 1 << 40
"""Most elements of a tensor."""
DEFAULT_ALIGNMENT = 32
MIN_ALIGNMENT = 8
MAX_ALIGNMENT = 1 << 20
MAX_PARTS = 1024
"""Most files of a split checkpoint."""
