"""The training loop: so many seconds, whatever the machine; the learning rate ends at zero when they do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jackfield_plugins.demo.training.attention import (
    block_masks,
    dense_attention,
    dense_masks,
    flex_attention,
)
from jackfield_plugins.demo.training.model import (
    ModelConfig,
    Weights,
    head_loss,
    initial_weights,
    layer_step,
    mean_loss,
)
from jackfield_plugins.demo.training.optimizer import Optimizer
from jackfield_plugins.demo.training.packing import PackedRows, parallel_rows
from jackfield_plugins.demo.training.pytorch import Tensor, pytorch

__all__ = ["TrainingConfig", "load_weights", "save_weights", "train"]

WARM_UP_STEPS = 60


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        seconds: Wall-clock time of the loop, compiling included.
        max_steps: Steps after which it ends all the same.
        rows: Rows of a step, each as long as the model's context.
        decay_share: The last part of the time, over which the learning rate falls to zero.
        start_scale: Learning rates are times this at first; below 1 to go on from trained weights.
        attention: ``flex`` or ``dense``.
    """

    seconds: float = 480.0
    max_steps: int | None = None
    rows: int = 32
    workers: int = 12
    seed: int = 0
    decay_share: float = 0.6
    start_scale: float = 1.0
    attention: str = "dense"
    is_compiled: bool = False
    checkpoint_s: float = 60.0


def train(
    model: ModelConfig,
    config: TrainingConfig,
    tokenizer_path: Path,
    device: str,
    *,
    start: Weights | None = None,
    save: Callable[[Weights], None],
    report: Callable[[str], None] = print,
) -> Weights:
    """Train and return the weights.

    Args:
        start: Weights to go on from.
        save: Called now and then, and at the end.
        report: Told of the progress, a line at a time.
    """
    started_s = time.monotonic()
    weights = start if start is not None else initial_weights(model, device, config.seed)
    optimizer = Optimizer(weights)
    loss_of = _loss_function(model, config, device)
    batches = _batches(model, config, tokenizer_path, device)
    saved_s, shown_s, shown_step = started_s, started_s, 0
    for step, batch in enumerate(batches):
        now_s = time.monotonic()
        done = (now_s - started_s) / config.seconds
        if done >= 1.0 or step == config.max_steps:
            break
        loss = loss_of(weights, *batch)
        loss.backward()
        optimizer.step(_scale(config, step, done))
        if step < 5 or step % 50 == 0:
            value, passed_s = (
                float(loss.detach()),
                time.monotonic() - shown_s,
            )  # reading the loss waits for the device
            rate = (step - shown_step) * config.rows * model.context_length / max(passed_s, 1e-9)
            report(f"{now_s - started_s:6.1f} s  step {step:5d}  loss {value:.4f}  {rate:,.0f} tokens/s")
            shown_s, shown_step = time.monotonic(), step
        if now_s - saved_s > config.checkpoint_s:
            save(weights)
            saved_s = now_s
    save(weights)
    return weights


def _scale(config: TrainingConfig, step: int, done: float) -> float:
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    decay = min(1.0, (1.0 - done) / config.decay_share)
    return config.start_scale * warm_up * max(0.0, decay)


def _loss_function(model: ModelConfig, config: TrainingConfig, device: str) -> Callable[..., Tensor]:
    torch = pytorch()
    is_flex = config.attention == "flex"
    make_masks, attend = (block_masks, flex_attention) if is_flex else (dense_masks, dense_attention)
    functions: tuple[Any, Any] = (layer_step, head_loss)
    if config.is_compiled:
        functions = tuple(torch.compile(function, dynamic=False) for function in functions)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32

    def loss_of(
        weights: Weights, tokens: Tensor, targets: Tensor, loss_weights: Tensor, owners: Tensor
    ) -> Tensor:
        masks = make_masks(owners, model.context_length)
        return mean_loss(
            model,
            weights,
            tokens,
            targets,
            loss_weights,
            attend,
            masks,
            functions,
            model.context_length,
            dtype,
        )

    return loss_of


def _batches(
    model: ModelConfig, config: TrainingConfig, tokenizer_path: Path, device: str
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield tokens, targets, loss weights and owners ``[N]`` on the device."""
    torch = pytorch()
    per_group = min(4, config.rows)
    groups = parallel_rows(config.seed, tokenizer_path, model.context_length, per_group, config.workers)
    while True:
        rows = [next(groups) for _ in range(config.rows // per_group)]
        arrays = _step_arrays(rows)
        yield tuple(  # type: ignore[misc]
            torch.from_numpy(array).pin_memory().to(device, non_blocking=True)
            if device == "cuda"
            else torch.from_numpy(array)
            for array in arrays
        )


def _step_arrays(groups: list[PackedRows]) -> tuple[Any, Any, Any, Any]:
    """Join rows into one step; a token's target is the next one of its own document."""
    tokens = np.concatenate([group.tokens for group in groups]).astype(np.int64)
    numbers = np.concatenate([group.documents for group in groups]).astype(np.int32)
    weights = np.concatenate([group.weights for group in groups]).astype(np.float32) / 255
    targets, loss_weights = np.zeros_like(tokens), np.zeros_like(weights)
    targets[:, :-1] = tokens[:, 1:]
    same = (numbers[:, 1:] == numbers[:, :-1]) & (numbers[:, 1:] > 0)
    loss_weights[:, :-1] = weights[:, 1:] * same
    # padding at a row's end belongs to nobody: the number after the row's last
    numbers = np.where(numbers == 0, numbers.max(axis=1, keepdims=True) + 1, numbers)
    offsets = np.concatenate([[0], np.cumsum(numbers.max(axis=1))[:-1]])
    owners = (numbers + offsets[:, None]).astype(np.int32)
    return tokens.ravel(), targets.ravel(), loss_weights.ravel(), owners.ravel()


def save_weights(path: Path, weights: Weights) -> None:
    """Write weights as float16 arrays of an ``.npz`` file."""
    arrays = {
        name: weight.detach().float().cpu().numpy().astype(np.float16) for name, weight in weights.items()
    }
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.replace(path)


def load_weights(path: Path, device: str) -> Weights:
    """Read what ``save_weights`` wrote."""
    torch = pytorch()
    with np.load(path, allow_pickle=False) as arrays:
        return {
            name: torch.from_numpy(arrays[name].astype(np.float32)).to(device).requires_grad_()
            for name in arrays.files
        }
