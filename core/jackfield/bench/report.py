"""What a benchmark found, as one object and as a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from jackfield.backend import MachineRates
from jackfield.bench.figures import Figures, Workload, median_figures

__all__ = ["machine_of", "print_results", "rows_of", "summarise"]

GIGA = 1e9


def summarise(
    path: str,
    backend: str,
    workload: Workload,
    ours: Sequence[Figures],
    peers: Sequence[Figures],
    rates: MachineRates | None,
    decode_bytes: int,
) -> dict[str, Any]:
    """Return medians, the peer's, ratios of runs made in turn, and what part of the bandwidth was used.

    Args:
        decode_bytes: Bytes of weights that one token of one stream reads.
    """
    median = median_figures(ours)
    results: dict[str, Any] = {
        "model": os.path.basename(path),
        "backend": backend,
        "threads": workload.threads,
        "prefill": workload.prefill,
        "decode": workload.decode,
        "runs": len(ours),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "decode_bytes": decode_bytes,
        **median.as_json(),
    }
    if rates is not None:
        results["read_bytes_per_s"] = rates.read_bytes_per_s
        results["int8_ops_per_s"] = rates.int8_ops_per_s
        fastest = max(median.decode_tokens_per_s, *median.context_tokens_per_s.values(), 0.0)
        results["decode_read_share"] = fastest * decode_bytes / rates.read_bytes_per_s
    if peers:
        results["llama_cpp"] = median_figures(peers).as_json()
        results["ratios"] = _ratios(ours, peers)
    return results


def _ratios(ours: Sequence[Figures], peers: Sequence[Figures]) -> dict[str, Any]:
    """Return the median over the pairs of runs of ours / theirs, for each rate."""
    pairs = [
        Figures(
            prefill_tokens_per_s=a.prefill_tokens_per_s / b.prefill_tokens_per_s,
            decode_tokens_per_s=a.decode_tokens_per_s / b.decode_tokens_per_s,
            time_to_first_token_s=a.time_to_first_token_s / b.time_to_first_token_s,
            load_s=a.load_s / b.load_s,
            resident_bytes=0,
            batch_tokens_per_s={n: r / b.batch_tokens_per_s[n] for n, r in a.batch_tokens_per_s.items()},
            context_tokens_per_s={
                n: r / b.context_tokens_per_s[n] for n, r in a.context_tokens_per_s.items()
            },
            busy={name: rate / b.busy[name] for name, rate in a.busy.items()},
        )
        for a, b in zip(ours, peers, strict=True)
    ]
    ratios = median_figures(pairs).as_json()
    del ratios["resident_bytes"]
    return ratios


def rows_of(results: dict[str, Any]) -> list[tuple[str, float, float | None, float | None]]:
    """Return (what, ours, the peer's, ratio) of every rate that was measured."""
    peer, ratios = results.get("llama_cpp", {}), results.get("ratios", {})
    keys: list[tuple[str, tuple[str, ...]]] = [
        (f"prefill {results['prefill']}", ("prefill_tokens_per_s",)),
        (f"decode at {results['prefill']}", ("decode_tokens_per_s",)),
    ]
    keys += [(f"{n} streams", ("batch_tokens_per_s", n)) for n in results["batch_tokens_per_s"]]
    keys += [(f"decode at {n}", ("context_tokens_per_s", n)) for n in results["context_tokens_per_s"]]
    keys += [(f"busy cores, {name.partition('_')[0]}", ("busy", name)) for name in results["busy"]]
    return [
        (label, _value(results, path) or 0.0, _value(peer, path), _value(ratios, path))
        for label, path in keys
    ]


def machine_of(results: dict[str, Any]) -> str:
    """Return what the figures were measured on and with, one line."""
    facts = [f"{results['threads']} threads", results["machine"]]
    facts += [results[name] for name in ("processor", "instruction set") if name in results]
    if "llama_cpp_python" in results:
        facts.append(f"llama-cpp-python {results['llama_cpp_python']}")
    return " · ".join(facts)


def print_results(results: dict[str, Any]) -> None:
    """Print a table for people."""
    console = Console()
    console.print(f"{results['model']} · backend {results['backend']} · median of {results['runs']}")
    console.print(machine_of(results))
    table = Table("tokens a second", "jackfield", "llama.cpp", "ratio", box=None)
    for label, ours, peer, ratio in rows_of(results):
        table.add_row(label, _text(ours, 1), _text(peer, 1), _text(ratio, 2))
    console.print(table)
    console.print(
        f"time to first token {results['time_to_first_token_s']:.3f} s · load {results['load_s']:.2f} s"
        f" · resident {results['resident_bytes'] / 2**20:.0f} MiB"
    )
    if "read_bytes_per_s" in results:
        console.print(
            f"memory is read at {results['read_bytes_per_s'] / GIGA:.1f} GB/s, decoding uses"
            f" {results['decode_read_share']:.0%} of it · int8 {results['int8_ops_per_s'] / GIGA:.0f} GOPS"
        )
    if results["guessing"]:
        found = results["guessing"]
        console.print(
            f"with guesses {found['tokens_per_s']:.1f} instead of {found['plain_tokens_per_s']:.1f} tokens/s:"
            f" {found['accepted']:.0f} of {found['accepted'] + found['rejected']:.0f} guessed tokens were right"
        )


def _value(table: dict[str, Any], keys: tuple[str, ...]) -> float | None:
    value: Any = table
    for key in keys:
        value = value.get(key, {})
    return value or None


def _text(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
