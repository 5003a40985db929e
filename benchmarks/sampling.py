"""Measure what picking a token takes, over vocabularies of the sizes that models have today.

    python benchmarks/sampling.py --step-ms 27

Prints the Markdown table of docs/performance.md: microseconds a token, the median over tokens that are picked one after
the other, and what part of a decode step of ``--step-ms`` the slowest of each row is. Two kinds of logits, in random
order: probabilities that fall with rank^-1.5, of which the likeliest 230 tokens make up 95 %, as a model that was
trained has them; and with rank^-1, of which it takes tens of thousands: the worst that sampling meets.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from jackfield.engine.sampling import BareVocabulary, Sampler, Scratch
from jackfield.host import Host
from jackfield.service.requests import Sampling
from jackfield.testing.engines import Recorder, ask

VOCAB_SIZES = (151_936, 262_144)
STEEPNESS = {"steep": 1.5, "flat": 1.0}
NUM_ROWS = 8
HISTORY = 2000
WARM = Sampling(temperature=0.8, seed=1)
SETTINGS = {
    "greedy": Sampling(),
    "greedy, repeat_penalty": Sampling(repeat_penalty=1.1, repeat_last_n=-1),
    "greedy, top_logprobs 20": Sampling(top_logprobs=20),
    "temperature": WARM,
    "top_k 40": replace(WARM, top_k=40),
    "top_p 0.95": replace(WARM, top_p=0.95),
    "min_p 0.05": replace(WARM, min_p=0.05),
    "typical_p 0.9": replace(WARM, typical_p=0.9),
    "mirostat 2": replace(WARM, mirostat=2),
    "three penalties": replace(
        WARM, repeat_penalty=1.1, presence_penalty=0.1, frequency_penalty=0.1, repeat_last_n=-1
    ),
    "logit_bias of 300": replace(WARM, logit_bias={7 * i: 1.0 for i in range(300)}),
    "top_k, top_p, min_p, penalty": replace(
        WARM, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.1, repeat_last_n=-1
    ),
    "top_p, penalty, top_logprobs 20": replace(
        WARM, top_p=0.95, repeat_penalty=1.1, repeat_last_n=-1, top_logprobs=20
    ),
}
GRAMMARS = {"a grammar allows 100": 100, "a grammar allows 1/3": 1 / 3, "a grammar allows most": 0.95}
UNDER_GRAMMARS = ("temperature", "top_p 0.95")


class Grammar:
    """Allows the same tokens for ever: a number of them, or a share of the vocabulary."""

    def __init__(self, allowed: float, vocab_size: int) -> None:
        share = allowed if allowed < 1 else allowed / vocab_size
        flags = np.random.default_rng(0).random(-(-vocab_size // 32) * 32) < share
        self._bits = np.packbits(flags, bitorder="little").view(np.uint32)

    def bitmask(self) -> npt.NDArray[np.uint32]:
        """Return the bits of the allowed tokens."""
        return self._bits

    def admits(self, token_id: int) -> bool:
        """Let every token through that the bits do."""
        return True

    def accept(self, token_id: int) -> None:
        """Stay as it is."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step-ms", type=float, default=27.0, help="what a decode step takes")
    parser.add_argument("--tokens", type=int, default=100, help="tokens to pick for each figure")
    arguments = parser.parse_args()
    columns = [(size, kind) for size in VOCAB_SIZES for kind in STEEPNESS]
    print("| µs a token |", " | ".join(f"{size:,}, {kind}" for size, kind in columns), "| of a step |")
    print("|---|" + "---|" * (len(columns) + 1))
    rows = {column: make_rows(*column) for column in columns}
    for name, sampling, allowed in cases():
        found = [median_us(rows[column], sampling, allowed, arguments.tokens) for column in columns]
        cells = [f"{value:.0f}" for value in found]
        print(f"| {name} | {' | '.join(cells)} | {max(found) / 10 / arguments.step_ms:.1f} % |", flush=True)


def cases() -> list[tuple[str, Sampling, float | None]]:
    """Return the rows of the table: settings, and settings under a grammar."""
    plain = [(name, sampling, None) for name, sampling in SETTINGS.items()]
    return plain + [
        (f"{name}, {grammar}", SETTINGS[name], allowed)
        for grammar, allowed in GRAMMARS.items()
        for name in UNDER_GRAMMARS
    ]


def make_rows(vocab_size: int, kind: str) -> list[npt.NDArray[np.float32]]:
    """Return logits whose probabilities fall with a power of their rank."""
    generator = np.random.default_rng(0)
    falling = -STEEPNESS[kind] * np.log(np.arange(1, vocab_size + 1))
    return [generator.permutation(falling).astype(np.float32) for _ in range(NUM_ROWS)]


def median_us(
    rows: list[npt.NDArray[np.float32]], sampling: Sampling, allowed: float | None, num_tokens: int
) -> float:
    """Return the median microseconds that picking a token takes."""
    pick = picker(rows[0].size, sampling, allowed)
    found: list[float] = []
    for i in range(num_tokens):
        started_ns = time.thread_time_ns()
        pick(rows[i % NUM_ROWS], i)
        found.append((time.thread_time_ns() - started_ns) / 1000)
    return statistics.median(found)


def picker(
    vocab_size: int, sampling: Sampling, allowed: float | None
) -> Callable[[npt.NDArray[np.float32], int], int]:
    """Return what picks the next token after a long text."""
    mask = None if allowed is None else Grammar(allowed, vocab_size)
    request = ask("bench", [1], Recorder(), sampling=sampling, mask=mask)
    sampler = Sampler(request, tuple(Host().samplers()), BareVocabulary(vocab_size), Scratch(vocab_size))
    history = np.random.default_rng(1).integers(0, vocab_size, HISTORY).astype(np.int32)
    return lambda logits, num_picked: sampler.pick(logits, history, num_picked).id


if __name__ == "__main__":
    main()
