"""Bounds-first GGUF reader, the table of block formats, and their dequantisation in numpy."""

from jackfield.gguf.blocks import BLOCK_FORMATS, BlockFormat
from jackfield.gguf.checkpoint import Checkpoint, open_checkpoint
from jackfield.gguf.dequantizers import dequantize
from jackfield.gguf.metadata import REQUIRED, Metadata
from jackfield.gguf.tensors import Tensor
from jackfield.gguf.values import NumberArray, TextArray, Value

__all__ = [
    "BLOCK_FORMATS",
    "REQUIRED",
    "BlockFormat",
    "Checkpoint",
    "Metadata",
    "NumberArray",
    "Tensor",
    "TextArray",
    "Value",
    "dequantize",
    "open_checkpoint",
]
