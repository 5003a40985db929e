"""A qwen3next: as qwen35moe with β and α from one matrix, and without sections of rotated pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jackfield.testing.families import Dimensions, Family, HyperParameter, TinyTensor, linear
from jackfield.testing.families.qwen35 import hybrid_keys, hybrid_tensors, num_value_heads
from jackfield.testing.families.qwen35moe import mixture, mixture_keys

__all__ = ["FAMILY"]


def _hyper_parameters(d: Dimensions) -> Mapping[str, HyperParameter]:
    return {**hybrid_keys(d), **mixture_keys(d)}


def _tensors(d: Dimensions) -> Iterator[TinyTensor]:
    return hybrid_tensors(d, _rates, mixture)


def _rates(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    yield linear(f"{prefix}.ssm_ba.weight", 2 * num_value_heads(d), d.width)


FAMILY = Family("qwen3next", _hyper_parameters, _tensors)
