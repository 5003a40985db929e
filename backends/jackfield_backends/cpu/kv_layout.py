"""How keys and values of past positions lie in pages, and the same memory as arrays.

A page of one layer holds N positions (a multiple of 16) of all G heads:

    keys    [G][N / 16] panels of 16 positions: a score needs no sum across lanes
    values  [G][N] rows

A panel is ``[K][16]`` elements and a row ``[Kv]``, of float16 or float32. In ``q8_0`` they are int8 and follow their
float16 scales, one for each position and 32 columns: ``[K / 32][16]`` and ``[Kv / 32]``, rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits
from jackfield.program import KvCache
from jackfield_backends.cpu.memory import aligned

__all__ = ["KV_TYPES", "PANEL", "SCALED", "KvLayout", "decode", "encode", "kv_layout"]

F32 = npt.NDArray[np.float32]
PANEL = 16
SCALED = 32
KV_TYPES = ("f16", "f32", "q8_0")
FLOATS = {"f16": np.float16, "f32": np.float32}
LARGEST = 127


@dataclass(frozen=True)
class KvLayout:
    """One layer's pages."""

    cache: KvCache
    page_size: int
    kind: str

    @property
    def panel(self) -> np.dtype[Any]:
        """A panel of 16 positions of one head's keys, as numpy sees it."""
        width = self.cache.key_width
        if self.kind in FLOATS:
            return np.dtype([("values", FLOATS[self.kind], (width, PANEL))])
        scales = (-(-width // SCALED), PANEL)
        return np.dtype([("scales", np.float16, scales), ("quants", np.int8, (width, PANEL))])

    @property
    def row(self) -> np.dtype[Any]:
        """A position of one head's values, as numpy sees it."""
        width = self.cache.value_width
        if self.kind in FLOATS:
            return np.dtype([("values", FLOATS[self.kind], (width,))])
        return np.dtype([("scales", np.float16, (-(-width // SCALED),)), ("quants", np.int8, (width,))])

    @property
    def key_head_bytes(self) -> int:
        """Keys of one head in a page."""
        return self.page_size // PANEL * self.panel.itemsize

    @property
    def value_head_bytes(self) -> int:
        """Values of one head in a page."""
        return self.page_size * self.row.itemsize

    @property
    def key_page_bytes(self) -> int:
        """Keys of a page."""
        return aligned(self.cache.num_kv_heads * self.key_head_bytes)

    @property
    def value_page_bytes(self) -> int:
        """Values of a page."""
        return aligned(self.cache.num_kv_heads * self.value_head_bytes)

    @property
    def page_bytes(self) -> int:
        """Keys and values of a page."""
        return self.key_page_bytes + self.value_page_bytes

    def read_keys(self, page: npt.NDArray[np.uint8]) -> F32:
        """Return a page's keys ``[N, G, K]``."""
        heads = self.cache.num_kv_heads
        panels = page[: heads * self.key_head_bytes].view(self.panel)
        values = decode(panels, axis=1)  # panels, K, 16
        shaped = values.reshape(heads, self.page_size // PANEL, self.cache.key_width, PANEL)
        return shaped.transpose(1, 3, 0, 2).reshape(self.page_size, heads, self.cache.key_width)

    def write_keys(self, page: npt.NDArray[np.uint8], keys: F32) -> None:
        """Replace a page's keys by ``[N, G, K]``."""
        heads, width = self.cache.num_kv_heads, self.cache.key_width
        shaped = keys.reshape(self.page_size // PANEL, PANEL, heads, width).transpose(2, 0, 3, 1)
        encode(page[: heads * self.key_head_bytes].view(self.panel), shaped.reshape(-1, width, PANEL), axis=1)

    def read_values(self, page: npt.NDArray[np.uint8]) -> F32:
        """Return a page's values ``[N, G, Kv]``."""
        heads = self.cache.num_kv_heads
        values = decode(page[: heads * self.value_head_bytes].view(self.row), axis=1)
        return values.reshape(heads, self.page_size, self.cache.value_width).transpose(1, 0, 2)

    def write_values(self, page: npt.NDArray[np.uint8], values: F32) -> None:
        """Replace a page's values by ``[N, G, Kv]``."""
        heads, width = self.cache.num_kv_heads, self.cache.value_width
        encode(
            page[: heads * self.value_head_bytes].view(self.row),
            values.transpose(1, 0, 2).reshape(-1, width),
            axis=1,
        )


def kv_layout(cache: KvCache, limits: Limits) -> KvLayout:
    """Return how a layer is stored."""
    return KvLayout(cache, limits.page_size, limits.kv_type)


def decode(stored: npt.NDArray[Any], axis: int) -> F32:
    """Return panels or rows as float32; ``axis`` is the one of columns."""
    if "values" in (stored.dtype.names or ()):
        return stored["values"].astype(np.float32)
    quants = stored["quants"]
    scales = np.repeat(stored["scales"].astype(np.float32), SCALED, axis=axis)
    return quants * scales.take(np.arange(quants.shape[axis]), axis=axis)


def encode(stored: npt.NDArray[Any], values: F32, axis: int) -> None:
    """Store panels or rows of float32."""
    if "values" in (stored.dtype.names or ()):
        stored["values"] = values
        return
    starts = np.arange(0, values.shape[axis], SCALED)
    scales = np.maximum.reduceat(np.abs(values), starts, axis=axis) / np.float32(LARGEST)
    columns = np.repeat(scales, SCALED, axis=axis).take(np.arange(values.shape[axis]), axis=axis)
    stored["scales"] = scales
    stored["quants"] = np.rint(np.divide(values, columns, out=np.zeros_like(values), where=columns > 0))
