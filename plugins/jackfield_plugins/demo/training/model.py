"""Qwen 3 in PyTorch: the forward pass and the loss, as functions of weights named as in the GGUF file.

    x = x + Wo · attention(rope(norm(q)), rope(norm(k)), v)        q, k, v = projections of norm(x)
    x = x + Wdown · (silu(Wgate · norm(x)) * (Wup · norm(x)))
    logits = norm(x) · embedding'

Dimensions: N tokens of all rows · D model width · H query heads · G key/value heads · K head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from jackfield_plugins.demo.training.pytorch import Tensor, pytorch

__all__ = ["Attend", "ModelConfig", "Weights", "initial_weights", "mean_loss", "weight_shapes"]

Weights: TypeAlias = dict[str, Tensor]
Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries ``[N, H, K]``, keys and values ``[N, G, K]`` to ``[N, H, K]``; no token sees another document."""

LAYER_WEIGHTS = (
    "attn_norm", "attn_q", "attn_k", "attn_v", "attn_q_norm", "attn_k_norm", "attn_output",
    "ffn_norm", "ffn_gate", "ffn_up", "ffn_down",
)  # fmt: skip


@dataclass(frozen=True)
class ModelConfig:
    """Sizes; every width is a multiple of 32, the block of Q8_0."""

    vocab_size: int = 4096
    width: int = 384
    num_layers: int = 10
    num_heads: int = 6
    num_kv_heads: int = 2
    head_width: int = 64
    ff_width: int = 768
    context_length: int = 4096
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return every weight's name and shape ``(out, in)``."""
    D, F, K = config.width, config.ff_width, config.head_width
    q, kv = config.num_heads * K, config.num_kv_heads * K
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (D,), "attn_q": (q, D), "attn_k": (kv, D), "attn_v": (kv, D), "attn_q_norm": (K,),
        "attn_k_norm": (K,), "attn_output": (D, q), "ffn_norm": (D,), "ffn_gate": (F, D), "ffn_up": (F, D),
        "ffn_down": (D, F),
    }  # fmt: skip
    layers = {
        f"blk.{i}.{name}.weight": shape for i in range(config.num_layers) for name, shape in layer.items()
    }
    return {"token_embd.weight": (config.vocab_size, D), **layers, "output_norm.weight": (D,)}


def initial_weights(config: ModelConfig, device: str, seed: int) -> Weights:
    """Return weights to start from: what writes into the residual stream is zero, norms are one."""
    torch = pytorch()
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for name, shape in weight_shapes(config).items():
        if len(shape) == 1:
            value = torch.ones(shape)
        elif name.endswith(("attn_output.weight", "ffn_down.weight")):
            value = torch.zeros(shape)
        else:
            spread = 0.02 if name == "token_embd.weight" else 0.5 * shape[1] ** -0.5
            value = torch.randn(shape, generator=generator) * spread
        weights[name] = value.to(device).requires_grad_()
    return weights


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Scale the last axis to a mean square of one, in float32."""
    wide = x.float()
    scale = (wide.square().mean(-1, keepdim=True) + eps).rsqrt()
    return (wide * scale * weight).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the halves of each head against each other: ``x [N, heads, K]``, ``cos [N, 1, K/2]``."""
    half = x.shape[-1] // 2
    left, right = x[..., :half].float(), x[..., half:].float()
    return pytorch().cat((left * cos - right * sin, right * cos + left * sin), -1).to(x.dtype)


def layer(
    config: ModelConfig, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend, *weights: Tensor
) -> Tensor:
    """Compute one layer: ``x [N, D]`` to ``[N, D]``."""
    silu = pytorch().nn.functional.silu
    attn_norm, wq, wk, wv, q_norm, k_norm, wo, ffn_norm, gate, up, down = (
        w.to(x.dtype) if w.ndim > 1 else w for w in weights
    )
    K, eps = config.head_width, config.norm_eps
    h = rms_norm(x, attn_norm, eps)
    q = rotate(rms_norm((h @ wq.T).unflatten(-1, (-1, K)), q_norm, eps), cos, sin)
    k = rotate(rms_norm((h @ wk.T).unflatten(-1, (-1, K)), k_norm, eps), cos, sin)
    v = (h @ wv.T).unflatten(-1, (-1, K))
    x = x + attend(q, k, v).flatten(-2) @ wo.T
    h = rms_norm(x, ffn_norm, eps)
    return x + (silu(h @ gate.T) * (h @ up.T)) @ down.T


def head_loss(
    config: ModelConfig, x: Tensor, norm: Tensor, embedding: Tensor, targets: Tensor, loss_weights: Tensor
) -> Tensor:
    """Return the weighted mean of ``-log p(target)``."""
    h = rms_norm(x, norm, config.norm_eps)
    logits = (h @ embedding.to(h.dtype).T).float()
    losses = pytorch().nn.functional.cross_entropy(logits, targets, reduction="none")
    return (losses * loss_weights).sum() / loss_weights.sum().clamp(min=1.0)


def mean_loss(
    config: ModelConfig,
    weights: Weights,
    tokens: Tensor,
    targets: Tensor,
    loss_weights: Tensor,
    attend_with: Callable[..., Tensor],
    masks: tuple[Any, ...],
    compiled: tuple[Callable[..., Tensor], Callable[..., Tensor]],
    row_length: int,
    dtype: Any,
) -> Tensor:
    """Return the loss of a step.

    Args:
        tokens: ``[N]``, whole rows of ``row_length`` one after the other. ``targets``, ``loss_weights`` alike.
        attend_with: Attention as a function of queries, keys, values and ``masks``.
        compiled: ``layer_step`` and ``head_loss``, compiled or not.
    """
    torch = pytorch()
    layer_function, head_function = compiled
    half = config.head_width // 2
    frequencies = config.rope_theta ** (-torch.arange(half, device=tokens.device, dtype=torch.float32) / half)
    positions = torch.arange(row_length, device=tokens.device, dtype=torch.float32).repeat(
        tokens.shape[0] // row_length
    )
    angles = (positions[:, None] * frequencies)[:, None, :]
    cos, sin = angles.cos(), angles.sin()
    x = weights["token_embd.weight"][tokens].to(dtype)
    for i in range(config.num_layers):
        own = [weights[f"blk.{i}.{name}.weight"] for name in LAYER_WEIGHTS]
        x = layer_function(config, attend_with, masks, x, cos, sin, *own)
    return head_function(
        config, x, weights["output_norm.weight"], weights["token_embd.weight"], targets, loss_weights
    )


def layer_step(
    config: ModelConfig,
    attend_with: Callable[..., Tensor],
    masks: tuple[Any, ...],
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    *weights: Tensor,
) -> Tensor:
    """Compute one layer with the attention and the masks of this step: what is compiled once for all layers."""
    return layer(config, x, cos, sin, lambda q, k, v: attend_with(q, k, v, *masks), *weights)
