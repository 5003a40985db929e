"""What a tiny checkpoint of each model family holds: one file per family, named as the files spell it.

A family is a module with a ``FAMILY``. To add one, write its hyper-parameters and its tensor list; the
sizes come from ``Dimensions``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = [
    "Dimensions",
    "Family",
    "HyperParameter",
    "TinyTensor",
    "attention",
    "common_keys",
    "experts",
    "family_named",
    "feed_forward",
    "linear",
    "norm",
    "vector",
]

HyperParameter: TypeAlias = "bool | int | float | str | list[int] | list[float] | list[bool]"


@dataclass(frozen=True)
class Dimensions:
    """Sizes of a tiny model; every family takes from it what it has.

    Attributes:
        width: D, of the residual stream.
        num_heads: H, query heads.
        num_kv_heads: G, key and value heads.
        head_width: K, of one head.
        ff_width: F, of the feed-forward layer or of one expert.
        vocab_size: V.
        block_elements: Rows of quantised tensors are a multiple of this.
        extra: Sizes that only some families have, by name; see ``size``.
    """

    num_layers: int = 2
    width: int = 64
    num_heads: int = 4
    num_kv_heads: int = 2
    head_width: int = 16
    ff_width: int = 96
    num_experts: int = 4
    num_experts_used: int = 2
    vocab_size: int = 384
    context_length: int = 1024
    freq_base: float = 10_000.0
    epsilon: float = 1e-5
    block_elements: int = 1
    extra: Mapping[str, int] = field(default_factory=dict[str, int])

    def size(self, name: str, default: int) -> int:
        """Return a size that only some families have."""
        return self.extra.get(name, default)

    @property
    def query_width(self) -> int:
        """H * K."""
        return self.num_heads * self.head_width

    @property
    def kv_width(self) -> int:
        """G * K."""
        return self.num_kv_heads * self.head_width


@dataclass(frozen=True)
class TinyTensor:
    """A tensor to invent.

    Attributes:
        shape: Extents in numpy order, slowest first.
        spread: Standard deviation of the random numbers.
        centre: Their mean.
        is_quantisable: Whether it takes the checkpoint's block format; F32 otherwise.
    """

    name: str
    shape: tuple[int, ...]
    spread: float
    centre: float = 0.0
    is_quantisable: bool = False


@dataclass(frozen=True)
class Family:
    """How to fill a checkpoint of one architecture.

    Attributes:
        name: ``general.architecture``.
        hyper_parameters: Keys below the architecture's prefix.
        tensors: Every tensor, in file order.
        other_keys: Keys without the architecture's prefix.
        adapt: Turns the given sizes into ones this family can have.
    """

    name: str
    hyper_parameters: Callable[[Dimensions], Mapping[str, HyperParameter]]
    tensors: Callable[[Dimensions], Iterable[TinyTensor]]
    adapt: Callable[[Dimensions], Dimensions] = lambda dimensions: dimensions
    other_keys: Mapping[str, HyperParameter] = field(default_factory=dict[str, HyperParameter])


def linear(name: str, rows: int, columns: int, *, gain: float = 1.0, stack: int = 0) -> TinyTensor:
    """Return a quantisable matrix that keeps the size of what it multiplies; ``stack`` of them when not 0."""
    shape = (stack, rows, columns) if stack else (rows, columns)
    return TinyTensor(name, shape, gain / columns**0.5, is_quantisable=True)


def norm(name: str, width: int) -> TinyTensor:
    """Return the gains of a norm, near 1."""
    return TinyTensor(name, (width,), 0.2, centre=1.0)


def vector(name: str, *shape: int, spread: float = 0.3, centre: float = 0.0) -> TinyTensor:
    """Return a small float tensor: biases, decays, router rows."""
    return TinyTensor(name, shape, spread, centre)


def common_keys(d: Dimensions) -> dict[str, HyperParameter]:
    """Return the keys that nearly every family has."""
    return {
        "block_count": d.num_layers,
        "context_length": d.context_length,
        "embedding_length": d.width,
        "feed_forward_length": d.ff_width,
        "attention.head_count": d.num_heads,
        "attention.head_count_kv": d.num_kv_heads,
        "attention.key_length": d.head_width,
        "attention.value_length": d.head_width,
        "attention.layer_norm_rms_epsilon": d.epsilon,
        "rope.dimension_count": d.head_width,
        "rope.freq_base": d.freq_base,
    }


def attention(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    """Yield the four matrices of grouped-query attention."""
    yield linear(f"{prefix}.attn_q.weight", d.query_width, d.width)
    yield linear(f"{prefix}.attn_k.weight", d.kv_width, d.width)
    yield linear(f"{prefix}.attn_v.weight", d.kv_width, d.width)
    yield linear(f"{prefix}.attn_output.weight", d.width, d.query_width)


def feed_forward(
    prefix: str, width: int, ff_width: int, suffix: str = "", *, gain: float = 1.0
) -> Iterator[TinyTensor]:
    """Yield the three matrices of a gated feed-forward, whose result is ``gain`` times the usual."""
    yield linear(f"{prefix}.ffn_gate{suffix}.weight", ff_width, width)
    yield linear(f"{prefix}.ffn_up{suffix}.weight", ff_width, width)
    yield linear(f"{prefix}.ffn_down{suffix}.weight", width, ff_width, gain=gain)


def experts(d: Dimensions, prefix: str) -> Iterator[TinyTensor]:
    """Yield a router and gated experts."""
    yield vector(f"{prefix}.ffn_gate_inp.weight", d.num_experts, d.width, spread=2 / d.width**0.5)
    yield linear(f"{prefix}.ffn_gate_exps.weight", d.ff_width, d.width, stack=d.num_experts)
    yield linear(f"{prefix}.ffn_up_exps.weight", d.ff_width, d.width, stack=d.num_experts)
    yield linear(f"{prefix}.ffn_down_exps.weight", d.width, d.ff_width, stack=d.num_experts)


def family_named(architecture: str) -> Family:
    """Return the family of that ``general.architecture``.

    Raises:
        ModuleNotFoundError: No family of that name has a file here.
    """
    module = importlib.import_module(f"{__name__}.{architecture.replace('-', '_')}")
    family: Family = module.FAMILY
    return family
