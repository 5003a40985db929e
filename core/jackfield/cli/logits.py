"""Logits of given prompts: how a plugin author proves an architecture or a backend.

The input is an ``.npz`` file with ``tokens_<i>``, prompt ids, and optionally ``positions_<i>``, the ascending
positions whose logits are wanted (all by default). The output has ``logits_<i>`` and, if asked for,
``greedy_<i>``: the likeliest continuation, token by token.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield.engine.loading import LoadedModel, limits_for, load_model
from jackfield.engine.single import SingleSequence
from jackfield.errors import ConfigError
from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.program import Program
from jackfield.service.config import KV_TYPES

__all__ = ["Prompt", "add_arguments", "execute", "run"]

FLOATS = frozenset({"F32", "F16", "BF16"})
Arrays = dict[str, Any]  # what numpy.savez takes


@dataclass(frozen=True)
class Prompt:
    """One prompt of the input file, checked.

    Attributes:
        number: The ``i`` of its arrays.
        positions: Ascending indices into ``tokens``.
    """

    number: int
    tokens: list[int]
    positions: list[int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--model", required=True, metavar="FILE", help="the GGUF file")
    parser.add_argument("--backend", default="reference", help="how to compute (default: reference)")
    parser.add_argument("--tokens", required=True, metavar="NPZ", help="tokens_<i> and positions_<i>")
    parser.add_argument("--out", required=True, metavar="NPZ", help="where logits_<i> and greedy_<i> go")
    parser.add_argument("--kv-type", choices=KV_TYPES, help="how keys and values are stored")
    parser.add_argument("--greedy", type=int, default=0, metavar="N", help="continue each prompt by N tokens")


def execute(arguments: argparse.Namespace) -> int:
    """Compute, and say where the results are."""
    a = arguments
    numbers = run(Host(), a.model, a.backend, a.tokens, a.out, a.greedy, a.kv_type)
    print(f"wrote the logits of {len(numbers)} prompts to {a.out}")
    return 0


def run(
    host: Host,
    model: str | Path,
    backend: str,
    tokens: str | Path,
    out: str | Path,
    greedy: int = 0,
    kv_type: str | None = None,
) -> list[int]:
    """Compute every prompt's logits, write them to ``out``, and return the prompts' numbers.

    Args:
        greedy: How many tokens to continue each prompt by.
        kv_type: How keys and values are stored. By default float32 for a model of floats, so that nothing but
            sums is rounded, and what serving uses for a quantised one.

    Raises:
        ConfigError: The input file is not what it should be, or the output cannot be written.
        JackfieldError: The model cannot be loaded or run.
    """
    prompts = read_prompts(tokens)
    if not Path(out).parent.is_dir():
        raise ConfigError(f"{str(out)!r} cannot be written: its folder does not exist")
    longest = max(len(prompt.tokens) for prompt in prompts) + greedy
    chosen = kv_type or _kv_type_for(model)
    results: Arrays = {}
    with load_model(
        model, host, backend, lambda program: limits_for(program, longest, kv_type=chosen)
    ) as loaded:
        for prompt in prompts:
            results |= _answer(loaded, prompt, greedy)
    try:
        np.savez(out, **results)
    except OSError as error:
        raise ConfigError(f"{str(out)!r} cannot be written: {error.strerror}") from error
    return [prompt.number for prompt in prompts]


def _kv_type_for(model: str | Path) -> str:
    with open_checkpoint(model) as checkpoint:
        is_float = all(tensor.type_name in FLOATS for tensor in checkpoint.tensors.values())
    return "f32" if is_float else "f16"


def read_prompts(path: str | Path) -> list[Prompt]:
    """Read and check the input file.

    Raises:
        ConfigError: It cannot be read, holds no prompt, or positions that are not in their prompt.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {
                name: arrays[name] for name in arrays.files if re.fullmatch(r"(tokens|positions)_\d+", name)
            }
    except (OSError, ValueError) as error:
        raise ConfigError(f"prompts {str(path)!r} cannot be read: {error}; expected an .npz file") from error
    numbers = sorted(int(name.removeprefix("tokens_")) for name in found if name.startswith("tokens_"))
    if not numbers:
        raise ConfigError(f"prompts {str(path)!r} hold no array 'tokens_0'; expected one for each prompt")
    return [_prompt(number, found) for number in numbers]


def _prompt(number: int, arrays: Mapping[str, npt.NDArray[Any]]) -> Prompt:
    tokens = _integers(f"tokens_{number}", arrays)
    if not tokens:
        raise ConfigError(f"'tokens_{number}' is empty; expected at least one token")
    name = f"positions_{number}"
    positions = _integers(name, arrays) if name in arrays else list(range(len(tokens)))
    if positions != sorted(set(positions)) or not all(0 <= p < len(tokens) for p in positions):
        raise ConfigError(f"{name!r} is {positions}; expected ascending positions below {len(tokens)}")
    return Prompt(number, tokens, positions)


def _integers(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> list[int]:
    array = arrays[name]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ConfigError(
            f"{name!r} is of shape {array.shape} and type {array.dtype}; expected a row of integers"
        )
    values: list[int] = array.tolist()
    return values


def _answer(loaded: LoadedModel, prompt: Prompt, greedy: int) -> Arrays:
    _check_fits(loaded.program, prompt)
    sequence = SingleSequence(loaded.executable, loaded.limits)
    last = len(prompt.tokens) - 1
    wanted = sorted({*prompt.positions, last})
    logits = sequence.feed(prompt.tokens, wanted)
    stored = np.isin(wanted, prompt.positions)
    results: Arrays = {f"logits_{prompt.number}": logits[stored]}
    if greedy:
        continued = sequence.greedy(logits[-1], greedy)
        results[f"greedy_{prompt.number}"] = np.array(continued, dtype=np.int32)
    return results


def _check_fits(program: Program, prompt: Prompt) -> None:
    name = f"'tokens_{prompt.number}'"
    if not all(0 <= token < program.vocab_size for token in prompt.tokens):
        raise ConfigError(f"{name} has an id outside the vocabulary; expected 0 to {program.vocab_size - 1}")
