"""Muon for the matrices of the layers, Adam for embedding and norms.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): momentum, then five Newton-Schulz steps that bring the
update's singular values near one. Matrices of one shape are updated together.
"""

from __future__ import annotations

from collections import defaultdict

from jackfield_plugins.demo.training.model import Weights
from jackfield_plugins.demo.training.pytorch import Tensor, pytorch

__all__ = ["Optimizer"]

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
MOMENTUM = 0.95
BETAS = (0.9, 0.95)
EPS = 1e-10


class Optimizer:
    """Update weights in place from their gradients.

    Args:
        matrix_rate: Learning rate of the layers' matrices. ``other_rate``: of everything else.
    """

    def __init__(
        self,
        weights: Weights,
        matrix_rate: float = 0.02,
        other_rate: float = 0.002,
        weight_decay: float = 0.01,
    ) -> None:
        self._matrix_rate, self._decay = matrix_rate, weight_decay
        groups: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        others: list[Tensor] = []
        for name, weight in weights.items():
            is_matrix = weight.ndim == 2 and name != "token_embd.weight"
            (groups[tuple(weight.shape)] if is_matrix else others).append(weight)
        torch = pytorch()
        self._groups = list(groups.values())
        self._momenta = [torch.zeros_like(torch.stack([w.detach() for w in group])) for group in self._groups]
        is_fused = others[0].is_cuda
        self._adam = torch.optim.Adam(others, lr=other_rate, betas=BETAS, eps=EPS, fused=is_fused)
        self._other_rate = other_rate

    def step(self, scale: float) -> None:
        """Apply the gradients, with the learning rates times ``scale``, and forget them."""
        torch = pytorch()
        with torch.no_grad():
            for group, momentum in zip(self._groups, self._momenta, strict=True):
                self._step_matrices(group, momentum, scale)
        self._adam.param_groups[0]["lr"] = self._other_rate * scale
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def _step_matrices(self, group: list[Tensor], momentum: Tensor, scale: float) -> None:
        torch = pytorch()
        gradient = torch.stack([weight.grad for weight in group])
        momentum.lerp_(gradient, 1 - MOMENTUM)
        update = orthogonal(gradient.lerp(momentum, MOMENTUM))
        rate = self._matrix_rate * scale
        rows, columns = update.shape[-2:]
        update = update * (-rate * max(1.0, rows / columns) ** 0.5)
        torch._foreach_mul_(group, 1 - rate * self._decay)
        torch._foreach_add_(group, list(update.unbind(0)))
        for weight in group:
            weight.grad = None


def orthogonal(x: Tensor) -> Tensor:
    """Return matrices ``[M, rows, columns]`` with singular values near one."""
    a, b, c = NEWTON_SCHULZ
    is_tall = x.shape[-2] > x.shape[-1]
    y = x.bfloat16() if x.is_cuda else x.float()
    y = y.mT if is_tall else y
    y = y / (y.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    return (y.mT if is_tall else y).to(x.dtype)
